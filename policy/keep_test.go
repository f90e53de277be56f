package policy

import (
	"testing"
	"time"

	"racoon2/kernel"
)

func start(s *Selector) { s.Start = true }

// A child that is to stand is asked for at once, again after failures with ever
// longer pauses, and again when it is lost.
func TestStart(t *testing.T) {
	both := func(s *Selector) { s.Engines = []kernel.EngineID{kernel.KINK, kernel.IKEv2} }
	r := newRig(t)
	r.run(Start{settings(transport("a", "10.0.0.1", "10.0.0.2", start, both), transport("b", "10.0.0.1", "10.0.0.3"))})
	r.wantAsked("kink peer a")
	r.run(InitiateFailed{kernel.KINK, "a", "no ticket"})
	r.wantTrace(ReasonInitiateFailed, "kink gave up (no ticket); the next engine is asked")
	r.wantAsked("ikev2 peer a")
	if at := r.m.Attempts(); len(at) != 1 || at[0].Engine != kernel.IKEv2 || at[0].Why != "no ticket" {
		t.Errorf("%+v", at)
	}
	r.run(InitiateFailed{kernel.IKEv2, "a", "no answer"})
	r.wantAsked()
	if at := r.m.Attempts(); len(at) != 1 || at[0].Failures != 1 || at[0].Next.IsZero() {
		t.Errorf("%+v", at)
	}
	r.advance(2 * time.Second)
	r.wantAsked("kink peer a")
	r.run(ChildUp{Engine: kernel.KINK, Child: "a"})
	if at := r.m.Attempts(); len(at) != 0 {
		t.Errorf("%+v", at)
	}
	r.advance(2 * forgetAfter)
	r.wantAsked()

	r.run(ChildDown{Child: "a", Reason: "the peer deleted it"})
	r.wantTrace(ReasonStartAgain, "child a is down (the peer deleted it) and is to stand")
	r.wantAsked()
	r.advance(2 * time.Second)
	r.wantAsked("kink peer a")
	r.run(ChildUp{Engine: kernel.KINK, Child: "a"})
	r.run(ChildDown{Child: "a"}) // it comes and goes: ever less often
	r.advance(1500 * time.Millisecond)
	r.wantAsked()
	r.advance(time.Second)
	r.wantAsked("kink peer a")

	r.run(InitiateFailed{kernel.KINK, "a", "x"})
	r.run(InitiateFailed{kernel.IKEv2, "a", "x"})
	r.wantAsked("ikev2 peer a")
	r.run(Retry{"peer"}) // it has another address now
	r.wantAsked("kink peer a")
	r.run(Retry{"peer"})
	r.wantAsked()
}

// What an operator takes down stays down until it is wanted again.
func TestDown(t *testing.T) {
	r := newRig(t)
	s := settings(transport("a", "10.0.0.1", "10.0.0.2", start))
	r.run(Start{s})
	r.run(ChildUp{Child: "a"})
	r.wantAsked("ikev2 peer a")
	r.run(Down{"a"})
	r.run(ChildDown{Child: "a"})
	r.run(Reconfigure{s})
	r.advance(time.Hour)
	r.wantAsked()
	r.run(Up{"a"})
	r.wantAsked("ikev2 peer a")
	r.run(ChildUp{Child: "a"})
	r.run(ChildDown{Child: "a"})
	r.advance(2 * time.Second)
	r.wantAsked("ikev2 peer a")
	r.run(Reconfigure{settings(transport("a", "10.0.0.1", "10.0.0.2"))})
	r.run(ChildUp{Child: "a"})
	r.run(ChildDown{Child: "a"})
	r.advance(time.Hour)
	r.wantAsked()
	r.run(Reconfigure{s})
	r.wantAsked("ikev2 peer a")
}

package policy

import (
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
)

// traffic sends a packet through the kernel, which raises an acquire.
func (r *rig) traffic(src, dst string) {
	r.Helper()
	out, events := r.k.Output(r.now, fake.Packet{Selector: packet(src, dst)})
	if out != nil {
		r.Fatalf("the packet left: %+v", out)
	}
	for _, ev := range events {
		r.run(KernelEvent{ev})
	}
}

func packet(src, dst string) kernel.Selector {
	return kernel.Selector{Src: prefix(src), Dst: prefix(dst), Proto: 6, SrcPort: kernel.Port(40000), DstPort: kernel.Port(80)}
}

func (r *rig) failed(engine kernel.EngineID, child string) {
	r.Helper()
	r.run(InitiateFailed{Engine: engine, Child: child, Reason: "no answer"})
}

func TestTrafficAsksForAChild(t *testing.T) {
	r := newRig(t)
	r.run(Start{pair()})
	r.traffic("10.1.0.1", "10.2.0.1")
	r.wantAsked("ikev2 peer net_out 10.2.0.1")
	r.traffic("10.1.0.1", "10.2.0.2") // under way
	r.traffic("10.1.0.1", "10.2.0.3")
	r.wantAsked()
	r.run(ChildUp{Engine: kernel.IKEv2, Child: "net_out"})
	if _, ok := r.m.Deadline(); ok {
		t.Error("a timer is left")
	}
	r.traffic("10.1.0.1", "10.2.0.4") // the SA went, or covers less
	r.wantAsked("ikev2 peer net_out 10.2.0.4")
	r.wantQuiet()
}

func TestBackOff(t *testing.T) {
	r := newRig(t)
	r.run(Start{pair()})
	limit := restFirst
	for round := range 12 {
		r.traffic("10.1.0.1", "10.2.0.1")
		r.wantAsked("ikev2 peer net_out 10.2.0.1")
		r.failed(kernel.IKEv2, "net_out")
		r.wantTrace(ReasonInitiateFailed, "child net_out: ikev2 gave up (no answer); not asked for again within")
		r.failed(kernel.IKEv2, "net_out") // late word changes nothing
		due, _ := r.m.Deadline()
		if wait := due.Sub(r.now); wait < limit*3/4 || wait > limit*5/4 {
			t.Fatalf("round %d: pause of %v, want about %v", round, wait, limit)
		}
		r.advance(due.Sub(r.now) - 1)
		r.wantAsked()
		r.advance(1) // nobody asked meanwhile
		r.wantAsked()
		limit = min(2*limit, restLimit)
	}
	r.advance(forgetAfter)
	if _, ok := r.m.Deadline(); ok || len(r.m.attempts) != 0 {
		t.Error("the attempt is not forgotten")
	}
}

func TestTrafficDuringThePauseIsRemembered(t *testing.T) {
	r := newRig(t)
	r.run(Start{pair()})
	r.traffic("10.1.0.1", "10.2.0.1")
	r.failed(kernel.IKEv2, "net_out")
	r.asked = nil
	r.traffic("10.1.0.1", "10.2.0.2")
	r.wantAsked()
	r.advance(restFirst * 2)
	r.wantAsked("ikev2 peer net_out 10.2.0.2")
	r.failed(kernel.IKEv2, "net_out")
	r.advance(time.Minute)
	r.wantAsked() // once for each time
}

func TestNextEngine(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1), transport("both", "192.0.2.1", "203.0.113.1", func(s *Selector) {
		s.Engines = []kernel.EngineID{kernel.NoEngine, kernel.KINK, kernel.IKEv2}
	}))})
	r.traffic("192.0.2.1", "203.0.113.1")
	r.wantAsked("kink peer both 203.0.113.1")
	r.failed(kernel.IKEv2, "both") // not the one that was asked
	r.wantAsked()
	r.failed(kernel.KINK, "both")
	r.wantTrace(ReasonInitiateFailed, "child both: kink gave up (no answer); the next engine is asked")
	r.wantAsked("ikev2 peer both 203.0.113.1")
	r.failed(kernel.IKEv2, "both")
	r.traffic("192.0.2.1", "203.0.113.1")
	r.advance(2 * time.Second)
	r.wantAsked("kink peer both 203.0.113.1") // from the first again
}

func TestNoEngine(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(transport("s", "192.0.2.1", "203.0.113.1", func(s *Selector) { s.Engines = nil }))})
	r.traffic("192.0.2.1", "203.0.113.1")
	r.wantAsked()
	r.wantTrace(ReasonNoEngine, "selector s (test.conf:1): no engine that acceptable_kmp of remote peer names runs here")
	r.failed(kernel.IKEv2, "s")
	r.traffic("192.0.2.1", "203.0.113.1")
	r.wantQuiet() // it rests
}

func TestSilentEngineIsAskedAgain(t *testing.T) {
	r := newRig(t)
	r.run(Start{pair()})
	r.traffic("10.1.0.1", "10.2.0.1")
	r.traffic("10.1.0.1", "10.2.0.2")
	r.asked = nil
	r.advance(attemptLimit)
	r.wantAsked("ikev2 peer net_out 10.2.0.2")
	r.advance(attemptLimit)
	r.wantAsked() // no traffic since
	r.failed(kernel.IKEv2, "net_out")
	r.wantTrace(ReasonInitiateFailed, "gave up") // late, and still true
	r.traffic("10.1.0.1", "10.2.0.3")
	r.wantAsked()
}

func TestUp(t *testing.T) {
	r := newRig(t)
	off := hostPair(2)
	off.Install = false
	r.run(Start{settings(append(pair().Selectors, off, transport("drop", "192.0.2.1", "192.0.2.2", action(kernel.Discard)))...)})
	r.run(Up{"net_in"})
	r.wantAsked("ikev2 peer net_out")
	r.run(Up{"net_out"})
	r.wantAsked() // under way
	for range 5 {
		r.failed(kernel.IKEv2, "net_out")
		due, _ := r.m.Deadline()
		if wait := due.Sub(r.now); wait > restFirst*5/4 {
			t.Errorf("an operator's wish is held against the child: pause of %v", wait)
		}
		r.run(Up{"net_out"}) // does not wait
		r.wantAsked("ikev2 peer net_out")
	}
	r.run(Up{"s2"})
	r.wantAsked("ikev2 peer s2")
	r.run(Up{"nothing"})
	r.wantTrace(ReasonUnknownSelector, "there is no selector nothing")
	r.run(Up{"drop"})
	r.wantTrace(ReasonNotProtected, "selector drop (test.conf:1) has action discard")
	r.wantAsked()
}

// Which selector an acquire is for.
func TestAcquireFindsItsSelector(t *testing.T) {
	inner := packet("10.1.0.1", "10.2.0.1")
	tests := []struct {
		name string
		ev   kernel.Acquire
		want []string
	}{
		{"number", kernel.Acquire{Policy: 1}, []string{"ikev2 peer net_out"}},
		{"number of the inbound policy", kernel.Acquire{Policy: 2}, []string{"ikev2 peer net_out"}},
		{"reqid alone", kernel.Acquire{Template: kernel.Template{ReqID: 5}, Packet: inner}, []string{"ikev2 peer net_out"}},
		{"unknown number, reqid and packet", kernel.Acquire{Policy: 99, Template: kernel.Template{ReqID: 5}, Packet: inner}, []string{"ikev2 peer net_out"}},
		{"unknown number, reqid, another's packet", kernel.Acquire{Policy: 99, Template: kernel.Template{ReqID: 5}, Packet: packet("10.7.0.1", "10.8.0.1")}, nil},
		{"unknown number, packet", kernel.Acquire{Policy: 99, Packet: inner}, nil},
		{"adopted", kernel.Acquire{Policy: 99, Template: kernel.Template{ReqID: 6}, Packet: inner}, []string{"ikev2 peer adopted"}},
		{"packet", kernel.Acquire{Packet: inner}, []string{"ikev2 peer net_out"}},
		{"packet of an exception", kernel.Acquire{Packet: packet("10.1.0.1", "10.2.9.9")}, nil},
		{"foreign", kernel.Acquire{Packet: packet("10.7.0.1", "10.8.0.1")}, nil},
		{"nothing", kernel.Acquire{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.run(Start{settings(
				tunnel("net_out", "10.1.0.0/16", "10.2.0.0/16", reqID(5)),
				tunnel("net_in", "10.2.0.0/16", "10.1.0.0/16", reqID(5), inbound("net_out")),
				transport("adopted", "10.1.0.0/16", "10.3.0.0/16", reqID(6), func(s *Selector) { s.Install = false }),
				transport("exception", "10.1.0.0/16", "10.2.9.9", action(kernel.Bypass)),
			)})
			// The exception is strongest and went in first.
			if tt.ev.Policy == 1 || tt.ev.Policy == 2 {
				tt.ev.Policy++
			}
			r.handle(KernelEvent{tt.ev})
			for i := range r.asked {
				r.asked[i].Packet = nil
			}
			r.wantAsked(tt.want...)
			r.wantQuiet()
		})
	}
}

func TestReconfigureAndAttempts(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1), hostPair(2), hostPair(3))})
	for _, dst := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3"} {
		r.traffic("192.0.2.1", dst)
	}
	for _, child := range []string{"s1", "s2", "s3"} {
		r.failed(kernel.IKEv2, child)
	}
	r.asked = nil
	elsewhere := hostPair(2)
	elsewhere.Remote = "new"
	r.run(Reconfigure{settings(hostPair(1), elsewhere)})
	r.traffic("192.0.2.1", "198.51.100.1") // unchanged: the pause goes on
	r.wantAsked()
	r.traffic("192.0.2.1", "198.51.100.2") // another remote: a new beginning
	r.wantAsked("ikev2 new s2 198.51.100.2")
	if len(r.m.attempts) != 2 {
		t.Errorf("%d attempts", len(r.m.attempts))
	}
	r.run(Shutdown{})
	r.advance(time.Hour)
	r.wantAsked()
}

func TestAcquireBeforeStart(t *testing.T) {
	r := newRig(t)
	r.handle(KernelEvent{kernel.Acquire{Packet: packet("10.1.0.1", "10.2.0.1")}})
	r.handle(InitiateFailed{Engine: kernel.IKEv2, Child: "x"})
	r.handle(ChildUp{Child: "x"})
	r.handle(Timeout{})
	r.wantAsked()
	r.wantQuiet()
}

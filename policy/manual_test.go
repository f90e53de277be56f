package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// manualESP are the SAs of a selector with ESP of this SPI.
func manualESP(spi kernel.SPI) func(*Selector) {
	return func(s *Selector) {
		s.Child, s.Remote, s.Engines = "", "", nil
		s.Manual = []kernel.SA{{
			SAID: kernel.SAID{Proto: kernel.ESP, SPI: spi},
			Encr: transform.ENCR_AES_CBC, EncrKey: bytes.Repeat([]byte{byte(spi)}, 16),
			Integ: transform.AUTH_HMAC_SHA2_256_128, IntegKey: bytes.Repeat([]byte{byte(spi)}, 32),
		}}
	}
}

func staticPair(out, in kernel.SPI) *Settings {
	return settings(
		transport("s_out", "10.0.0.1", "10.0.0.2", manualESP(out)),
		transport("s_in", "10.0.0.2", "10.0.0.1", inbound(""), manualESP(in)))
}

// sad lists the kernel's SAs.
func (r *rig) wantSAD(want ...string) {
	r.Helper()
	var got []string
	for _, sa := range r.k.Apply(r.now, kernel.Request{Op: kernel.DumpSA{}}).SAs {
		got = append(got, fmt.Sprintf("%v %v %v %v-%v#%d", sa.Direction, sa.Proto, sa.Mode, sa.Src, sa.SAID, sa.ReqID))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Errorf("SAD:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func said(dst string, spi kernel.SPI) kernel.SAID {
	return kernel.SAID{Dst: prefix(dst).Addr(), Proto: kernel.ESP, SPI: spi}
}

// Static SAs come before their policies, stay over a reload, are replaced with
// their keys, come back when somebody removes them, and go at the end.
func TestManual(t *testing.T) {
	out, in := "out esp transport 10.0.0.1-"+said("10.0.0.2", 0x1000).String()+"#1", "in esp transport 10.0.0.2-"+said("10.0.0.1", 0x2000).String()+"#1"
	r := newRig(t)
	r.handle(Start{staticPair(0x1000, 0x2000)})
	var order []string
	for _, q := range r.requests {
		order = append(order, fmt.Sprintf("%T", q.Op))
	}
	if got := strings.Join(order, " "); got != "kernel.AddSA kernel.AddSA kernel.AddPolicy kernel.AddPolicy" {
		t.Errorf("%s", got)
	}
	r.wantStates("s_out pending", "s_in pending")
	r.settle()
	r.wantSAD(out, in)
	r.wantStates("s_out installed", "s_in installed")
	r.wantQuiet()
	r.run(KernelEvent{kernel.Acquire{Policy: r.m.Entries()[0].ID, Packet: packet("10.0.0.1", "10.0.0.2")}})
	r.wantAsked()
	if r.m.CanInitiate("s_out") {
		t.Error("there is a child to initiate")
	}

	r.handle(Reconfigure{staticPair(0x1000, 0x2000)})
	if len(r.requests) > 0 {
		t.Errorf("a reload without a change: %v", r.requests)
	}

	// Another key: the old SA goes, and another one comes.
	other := staticPair(0x1000, 0x2000)
	other.Selectors[0].Manual[0].EncrKey = bytes.Repeat([]byte{7}, 16)
	r.handle(Reconfigure{other})
	if len(r.requests) != 1 {
		t.Fatalf("%v", r.requests)
	}
	r.settle()
	r.wantSAD(out, in)

	r.foreign(kernel.DeleteSA{ID: said("10.0.0.2", 0x1000)})
	r.wantTrace(ReasonManualLost, "somebody removed the static SA")
	r.wantSAD(out, in)
	r.foreign(kernel.FlushSA{})
	r.wantSAD(in) // the other one comes back a second after the last time
	r.advance(2 * time.Second)
	r.wantSAD(out, in)

	r.run(Reconfigure{staticPair(0x1000, 0x3000)})
	r.wantSAD(out, "in esp transport 10.0.0.2-"+said("10.0.0.1", 0x3000).String()+"#1")
	r.run(Shutdown{})
	r.wantSAD()
	if !r.m.Idle() || r.m.timers.Len() > 0 {
		t.Error("not idle")
	}
}

// The kernel has an SA of an earlier run, or refuses one.
func TestManualFailures(t *testing.T) {
	r := newRig(t)
	r.run(Start{staticPair(0x1000, 0x2000)})
	again := newRig(t)
	again.k = r.k
	again.run(Start{staticPair(0x1000, 0x2000)})
	again.wantTrace(ReasonManualTakenOver, "is replaced")
	again.wantStates("s_out installed", "s_in installed")

	r = newRig(t)
	r.k.Fail(kernel.AddSA{}, errors.New("no memory"))
	r.run(Start{staticPair(0x1000, 0x2000)})
	r.wantTrace(ReasonManualFailed, "selector s_in (test.conf:1): the kernel refuses the static SA")
	if got := r.m.Entries()[1].State; !strings.HasPrefix(got, "failed: static SA") {
		t.Error(got)
	}
	r.advance(2 * time.Second)
	r.wantStates("s_out installed", "s_in installed")

	r = newRig(t)
	r.k.Fail(kernel.AddSA{}, fmt.Errorf("SA: %w", kernel.ErrUnsupported))
	r.run(Start{staticPair(0x1000, 0x2000)})
	r.advance(time.Hour)
	if got := r.m.Entries()[1].State; !strings.HasPrefix(got, "failed: static SA") {
		t.Error(got)
	}
	r.run(Reconfigure{staticPair(0x1000, 0x2000)})
	r.wantStates("s_out installed", "s_in installed")
	r.k.Fail(kernel.DeleteSA{}, errors.New("busy"))
	r.run(Shutdown{})
	r.advance(2 * time.Second)
	if !r.m.Idle() {
		t.Error("not idle")
	}
}

// A tunnel has one pair of SAs for all its traffic; the same SPI to the same
// place is one SA, and the first selector's; networks have no transport mode.
func TestManualShapes(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		tunnel("net_out", "10.1.0.0/16 10.3.0.0/16", "10.2.0.0/16", manualESP(0x1000)),
		tunnel("other_out", "10.4.0.0/16", "10.2.0.0/16", manualESP(0x1000), reqID(2)))})
	r.wantSAD("out esp tunnel 192.0.2.1-" + said("192.0.2.2", 0x1000).String() + "#1")
	r.wantTrace(ReasonSelectorUnused, "selector other_out (test.conf:1): the static SA")
	r.run(Reconfigure{settings(tunnel("other_out", "10.4.0.0/16", "10.2.0.0/16", manualESP(0x1000), reqID(2)))})
	r.wantSAD("out esp tunnel 192.0.2.1-" + said("192.0.2.2", 0x1000).String() + "#2")
	r.run(Reconfigure{settings(transport("net", "10.4.0.0/16", "10.2.0.0/16", manualESP(0x1000)))})
	r.wantSAD()
	r.wantTrace(ReasonSelectorUnused, "static SAs in transport mode are for pairs of hosts")
	r.run(Reconfigure{settings(tunnel("both", "10.1.0.0/16 2001:db8:1::/48", "10.2.0.0/16 2001:db8:2::/48", manualESP(0x1000)))})
	r.wantTrace(ReasonSelectorUnused, "one static SA carries one address family")
	r.wantSAD()
}

package fake

import (
	"errors"
	"reflect"
	"testing"

	"racoon2/kernel"
)

func TestFaults(t *testing.T) {
	r := newRig(t)
	broken := errors.New("broken on demand")
	r.a.Fail(kernel.AddSA{}, broken)
	if err := r.a.Apply(r.now, kernel.Request{Op: kernel.AddSA{SA: tunnelSA(0x1000, kernel.Out, "key")}}).Err; err != broken {
		t.Error(err)
	}
	r.pair(nil) // the fault is gone
	r.a.LoseEvents(1)
	if _, events := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1)); events != nil {
		t.Errorf("events %v", events)
	}
	id := kernel.SAID{Dst: addrB, Proto: kernel.ESP, SPI: 0x1000}
	lost, err := r.a.Foreign(r.now, kernel.DeleteSA{ID: id})
	if err != nil || !reflect.DeepEqual(lost, []kernel.Event{kernel.Resync{}}) {
		t.Errorf("lost event: %v, %v", lost, err)
	}
	flushed, err := r.b.Foreign(r.now, kernel.FlushSA{Proto: kernel.ESP})
	if err != nil || !reflect.DeepEqual(flushed, []kernel.Event{kernel.Flushed{Proto: kernel.ESP}}) {
		t.Errorf("flush: %v, %v", flushed, err)
	}
	if all := r.do(r.b, kernel.DumpSA{}).SAs; len(all) != 0 {
		t.Errorf("after the flush: %v", all)
	}
	out := traffic("10.0.0.0/24", "10.0.1.0/24")
	gone, err := r.a.Foreign(r.now, kernel.DeletePolicy{Selector: out, Direction: kernel.Out})
	if err != nil || gone[0].(kernel.PolicyDeleted).Selector != out {
		t.Errorf("policy: %v, %v", gone, err)
	}
	if _, err := r.a.Foreign(r.now, kernel.DeleteSA{ID: id}); !errors.Is(err, kernel.ErrNotFound) {
		t.Error(err)
	}
	if events, err := r.a.Foreign(r.now, kernel.DumpSA{}); err != nil || events != nil {
		t.Error(events, err)
	}
}

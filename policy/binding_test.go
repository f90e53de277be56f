package policy

import (
	"testing"

	"racoon2/kernel"
)

// Policies for the same traffic are apart where interface identifiers or marks
// tell them apart, and each keeps its binding from installation to removal.
func TestBindings(t *testing.T) {
	bound := func(b kernel.Binding) func(*Selector) {
		return func(s *Selector) { s.Binding, s.MSS = b, 1300 }
	}
	red := kernel.Binding{IfID: 1, Offload: kernel.OffloadCrypto, Device: "eth0"}
	blue := kernel.Binding{Mark: kernel.Mark{Value: 2, Mask: 0xff}}
	with := settings(
		transport("plain", "192.0.2.1", "192.0.2.2"),
		transport("red", "192.0.2.1", "192.0.2.2", bound(red)),
		transport("blue", "192.0.2.1", "192.0.2.2", bound(blue)),
	)
	r := newRig(t)
	r.handle(Start{with})
	var got []kernel.Binding
	for _, q := range r.requests {
		add, ok := q.Op.(kernel.AddPolicy)
		if !ok {
			t.Fatalf("%T", q.Op)
		}
		got = append(got, add.Policy.Binding)
		if add.Policy.Binding != (kernel.Binding{}) && add.Policy.MSS != 1300 {
			t.Errorf("MSS %d", add.Policy.MSS)
		}
	}
	if len(got) != 3 || got[0] != (kernel.Binding{}) || got[1] != red || got[2] != blue {
		t.Fatalf("bindings %+v", got)
	}
	for i, q := range r.requests {
		r.handle(KernelResult{kernel.Result{Request: q, Policy: kernel.PolicyID(i + 1)}})
	}
	r.requests = nil

	// Another identifier is another policy; another device is the same one changed.
	moved := red
	moved.IfID = 3
	other := blue
	other.Offload = kernel.OffloadPacket
	r.handle(Reconfigure{settings(
		transport("plain", "192.0.2.1", "192.0.2.2"),
		transport("red", "192.0.2.1", "192.0.2.2", bound(moved)),
		transport("blue", "192.0.2.1", "192.0.2.2", bound(other)),
	)})
	var added, changed int
	for i := 0; i < len(r.requests); i++ {
		q := r.requests[i]
		switch op := q.Op.(type) {
		case kernel.AddPolicy:
			added++
			if op.Policy.Binding != moved {
				t.Errorf("added with %+v", op.Policy.Binding)
			}
		case kernel.UpdatePolicy:
			changed++
			if op.Policy.Binding != other {
				t.Errorf("changed with %+v", op.Policy.Binding)
			}
		case kernel.DeletePolicy:
			if op.Binding != red || added != 1 {
				t.Errorf("removed with %+v after %d additions", op.Binding, added)
			}
		}
		r.handle(KernelResult{kernel.Result{Request: q, Policy: kernel.PolicyID(10 + i)}})
	}
	if added != 1 || changed != 1 || len(r.requests) != 3 {
		t.Errorf("requests %+v", r.requests)
	}
}

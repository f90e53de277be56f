package ikev2

import (
	"slices"
	"testing"

	"racoon2/kernel"
)

type testKernel struct {
	next     kernel.SPI
	sas      map[kernel.SAID]kernel.SA
	reserved map[kernel.SAID]bool
	state    func(kernel.SA) kernel.SAState // what GetSA says; nil: that it was not used
	// fail refuses requests.
	fail func(kernel.Op) error
	ops  []kernel.Op
	// carried is what GetSA says of an SA.
	carried map[kernel.SAID]uint64
}

func newTestKernel() *testKernel {
	return &testKernel{next: 0x1000, sas: map[kernel.SAID]kernel.SA{}, reserved: map[kernel.SAID]bool{}}
}

func (k *testKernel) apply(r kernel.Request) kernel.Result {
	res := kernel.Result{Request: r}
	k.ops = append(k.ops, r.Op)
	if k.fail != nil {
		if res.Err = k.fail(r.Op); res.Err != nil {
			return res
		}
	}
	switch op := r.Op.(type) {
	case kernel.GetSPI:
		k.next++
		res.SPI = k.next
		if op.Proto == kernel.IPComp {
			res.SPI = firstOwnCPI + res.SPI>>16<<12 + res.SPI%4096 // 16 bits
		}
		k.reserved[kernel.SAID{Dst: op.Dst, Proto: op.Proto, SPI: res.SPI}] = true
	case kernel.AddSA:
		if _, dup := k.sas[op.SA.SAID]; dup {
			res.Err = kernel.ErrExists
			return res
		}
		op.SA.EncrKey, op.SA.IntegKey = slices.Clone(op.SA.EncrKey), slices.Clone(op.SA.IntegKey)
		delete(k.reserved, op.SA.SAID)
		k.sas[op.SA.SAID] = op.SA
	case kernel.GetSA:
		sa, ok := k.sas[op.ID]
		if !ok {
			res.Err = kernel.ErrNotFound
			return res
		}
		if res.SAs = []kernel.SAState{{SA: sa, Bytes: k.carried[op.ID]}}; k.state != nil {
			res.SAs[0] = k.state(sa)
		}
	case kernel.UpdateSA:
		res.Err = k.update(op)
	case kernel.DeleteSA:
		_, ok := k.sas[op.ID]
		if !ok && !k.reserved[op.ID] {
			res.Err = kernel.ErrNotFound
		}
		delete(k.sas, op.ID)
		delete(k.reserved, op.ID)
	}
	return res
}

func (k *testKernel) byPeerSPI(proto kernel.Protocol, spi kernel.SPI) (kernel.SA, bool) {
	for id, sa := range k.sas {
		if id.Proto == proto && id.SPI == spi && sa.Direction == kernel.In {
			return sa, true
		}
	}
	return kernel.SA{}, false
}

// one is the only SA of a direction.
func (k *testKernel) one(t *testing.T, d kernel.Direction) kernel.SA {
	t.Helper()
	var found []kernel.SA
	for _, sa := range k.sas {
		if sa.Direction == d {
			found = append(found, sa)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d SAs of direction %v, want 1", len(found), d)
	}
	return found[0]
}

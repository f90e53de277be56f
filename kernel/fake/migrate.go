package fake

import (
	"fmt"
	"net/netip"

	"racoon2/kernel"
)

// migrate moves a policy's templates, and the SAs that serve them, to other end
// points. The SAs keep their keys, numbers and counters.
func (k *Kernel) migrate(m kernel.Migrate) (kernel.PolicyID, error) {
	if err := k.Capabilities.CheckMigrate(m); err != nil {
		return 0, err
	}
	i := k.find(m.Selector, m.Direction, m.Binding)
	if i < 0 {
		return 0, fmt.Errorf("policy %v %v: %w", m.Direction, m.Selector, kernel.ErrNotFound)
	}
	p := k.policies[i]
	if !m.MoveTemplates(p.Templates) {
		return 0, fmt.Errorf("policy %v %v: no %v template from %v to %v: %w",
			m.Direction, m.Selector, m.Proto, m.OldSrc, m.OldDst, kernel.ErrNotFound)
	}
	for _, x := range k.ordered() {
		if x.reserved || !moves(x, m) {
			continue
		}
		delete(k.sas, x.SAID)
		x.Src, x.Dst, x.Encap, x.mapped = m.NewSrc, m.NewDst, cloneEncap(m.Encap), netip.AddrPort{}
		k.sas[x.SAID] = x
	}
	return p.ID, nil
}

// moves says whether an SA goes with a migration. Directions are not compared:
// the end points say which way an SA goes.
func moves(x *state, m kernel.Migrate) bool {
	return x.Proto == m.Proto && x.Mode == m.Mode && (m.ReqID == 0 || x.ReqID == m.ReqID) &&
		x.Src == m.OldSrc && x.Dst == m.OldDst && x.IfID == m.Binding.IfID // inbound SAs have no mark to be found by
}

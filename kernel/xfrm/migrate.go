package xfrm

import (
	"errors"
	"fmt"
	"syscall"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// migrate moves the SAs and then the policy. The SAs are not left to the kernel's
// own MIGRATE: it moves one for each template, forgets what they counted, and
// has the old and the new one send under one key with the same sequence numbers for
// a moment.
func (b *Backend) migrate(m kernel.Migrate) (kernel.PolicyID, error) {
	if err := b.capabilities.CheckMigrate(m); err != nil {
		return 0, err
	}
	p, err := b.getPolicy(m.Selector, m.Direction, m.Binding)
	if err != nil {
		return 0, err
	}
	if !m.MoveTemplates(p.Templates) {
		return 0, fmt.Errorf("policy %v %v: no %v template from %v to %v: %w",
			m.Direction, m.Selector, m.Proto, m.OldSrc, m.OldDst, kernel.ErrNotFound)
	}
	all, err := b.dumpSA()
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if s.Proto != m.Proto || s.Mode != m.Mode || m.ReqID != 0 && s.ReqID != m.ReqID || s.Src != m.OldSrc || s.Dst != m.OldDst {
			continue
		}
		sa, old := s.SA, s.SAID
		sa.Src, sa.Dst, sa.Encap, sa.Direction = m.NewSrc, m.NewDst, m.Encap, kernel.In
		if m.Direction == kernel.Out {
			sa.Direction = kernel.Out
		}
		if err := b.replaceSA(old, sa); err != nil {
			return p.ID, err
		}
	}
	if m.Mode == kernel.Tunnel { // a template of transport mode has no addresses
		err = b.migratePolicy(m, p)
	}
	return p.ID, err
}

// migratePolicy moves the policy in the kernel. Kernels without MIGRATE get it
// anew, and so do policies with a mark, which MIGRATE does not look at.
func (b *Backend) migratePolicy(m kernel.Migrate, moved kernel.Policy) error {
	what := fmt.Sprintf("migration of policy %v %v", m.Direction, m.Selector)
	if m.Binding.Mark == (kernel.Mark{}) {
		message, err := migratePolicy(m)
		if err != nil {
			return err
		}
		_, err = b.requests.Execute(message)
		if !errors.Is(err, syscall.ENOPROTOOPT) && !errors.Is(err, syscall.EINVAL) {
			return explain(what, err)
		}
	}
	device, err := b.device(moved.Binding)
	if err != nil {
		return err
	}
	message, err := addPolicy(msgUpdPolicy, moved, device)
	if err != nil {
		return err
	}
	_, err = b.requests.Execute(message)
	return explain(what, err)
}

// migratePolicy makes the message that moves a policy's templates.
func migratePolicy(m kernel.Migrate) (netlink.Message, error) {
	selector, err := toPolicySelector(m.Selector)
	if err != nil {
		return netlink.Message{}, err
	}
	direction, err := toDirection(m.Direction)
	if err != nil {
		return netlink.Message{}, err
	}
	mode, err := toMode(m.Mode)
	if err != nil {
		return netlink.Message{}, err
	}
	var b netlink.Builder
	b.Raw(encode(policyID{Selector: selector, Direction: direction}))
	b.Octets(attrMigrate, encode(migrateInfo{
		OldDst: toAddress(m.OldDst), OldSrc: toAddress(m.OldSrc), NewDst: toAddress(m.NewDst), NewSrc: toAddress(m.NewSrc),
		Proto: uint8(m.Proto), Mode: mode, ReqID: m.ReqID, OldFamily: familyOf(m.OldDst), NewFamily: familyOf(m.NewDst),
	}))
	if e := toEncap(kernel.SA{Direction: m.Direction, Encap: m.Encap}); e != nil {
		b.Octets(attrEncap, encode(e))
	}
	addNames(&b, kernel.Binding{IfID: m.Binding.IfID})
	return netlink.Message{Type: msgMigrate, Body: b.Body()}, b.Err()
}

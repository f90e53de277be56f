package fake

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"racoon2/kernel"
)

func (k *Kernel) addPolicy(now time.Time, p kernel.Policy, replace bool) (kernel.PolicyID, error) {
	if err := k.checkPolicy(p); err != nil {
		return 0, err
	}
	if i := k.find(p.Selector, p.Direction); i >= 0 {
		old := k.policies[i]
		if !replace {
			return 0, fmt.Errorf("policy %v %v: %w", p.Direction, p.Selector, kernel.ErrExists)
		}
		p.ID = old.ID
		k.policies = slices.Delete(k.policies, i, i+1)
	} else {
		k.policyID++
		p.ID = k.policyID
	}
	k.serial++
	k.policies = append(k.policies, &entry{Policy: clonePolicy(p), serial: k.serial, added: now})
	slices.SortFunc(k.policies, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.serial, b.serial))
	})
	return p.ID, nil
}

// checkPolicy says what about a policy this kernel cannot do.
func (k *Kernel) checkPolicy(p kernel.Policy) error {
	if err := p.Selector.Valid(); err != nil {
		return err
	}
	ranges := len(p.Selector.SrcPort.Split()) > 1 || len(p.Selector.DstPort.Split()) > 1
	switch {
	case p.Direction == kernel.Forward && !k.Capabilities.Forward:
		return fmt.Errorf("policy %v %v: %w", p.Direction, p.Selector, kernel.ErrUnsupported)
	case p.Direction < kernel.In || p.Direction > kernel.Forward:
		return fmt.Errorf("policy %v: it needs a direction", p.Selector)
	case ranges && !k.Capabilities.PortRanges:
		return fmt.Errorf("policy %v: port range: %w", p.Selector, kernel.ErrUnsupported)
	case p.Action < kernel.Protect || p.Action > kernel.Bypass:
		return fmt.Errorf("policy %v: it needs an action", p.Selector)
	case p.Action != kernel.Protect && len(p.Templates) > 0:
		return fmt.Errorf("policy %v: %v takes no templates", p.Selector, p.Action)
	case p.Action == kernel.Protect && len(p.Templates) == 0:
		return fmt.Errorf("policy %v: protect needs a template", p.Selector)
	case len(p.Templates) > 1:
		return fmt.Errorf("policy %v: bundle of %d transforms: %w", p.Selector, len(p.Templates), kernel.ErrUnsupported)
	case len(p.Templates) == 1 && p.Templates[0].Mode == kernel.Tunnel &&
		(!p.Templates[0].Src.IsValid() || !p.Templates[0].Dst.IsValid()):
		return fmt.Errorf("policy %v: a tunnel needs its end points", p.Selector)
	}
	return nil
}

func (k *Kernel) deletePolicy(s kernel.Selector, d kernel.Direction) (kernel.PolicyID, error) {
	i := k.find(s, d)
	if i < 0 {
		return 0, fmt.Errorf("policy %v %v: %w", d, s, kernel.ErrNotFound)
	}
	id := k.policies[i].ID
	k.policies = slices.Delete(k.policies, i, i+1)
	return id, nil
}

func (k *Kernel) find(s kernel.Selector, d kernel.Direction) int {
	return slices.IndexFunc(k.policies, func(p *entry) bool { return p.Selector == s && p.Direction == d })
}

// match is the strongest policy for a packet, nil when there is none.
func (k *Kernel) match(packet kernel.Selector, d kernel.Direction) *entry {
	for _, p := range k.policies {
		if p.Direction == d && p.Selector.Matches(packet) {
			return p
		}
	}
	return nil
}

func clonePolicy(p kernel.Policy) kernel.Policy {
	p.Templates = slices.Clone(p.Templates)
	return p
}

package fake

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"racoon2/kernel"
)

func (k *Kernel) addPolicy(now time.Time, p kernel.Policy, replace bool) (kernel.PolicyID, error) {
	if err := k.Capabilities.CheckPolicy(p); err != nil {
		return 0, err
	}
	if i := k.find(p.Selector, p.Direction, p.Binding); i >= 0 {
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

func (k *Kernel) deletePolicy(s kernel.Selector, d kernel.Direction, b kernel.Binding) (kernel.PolicyID, error) {
	i := k.find(s, d, b)
	if i < 0 {
		return 0, fmt.Errorf("policy %v %v: %w", d, s, kernel.ErrNotFound)
	}
	id := k.policies[i].ID
	k.policies = slices.Delete(k.policies, i, i+1)
	return id, nil
}

func (k *Kernel) find(s kernel.Selector, d kernel.Direction, b kernel.Binding) int {
	return slices.IndexFunc(k.policies, func(p *entry) bool {
		return p.Selector == s && p.Direction == d && p.Binding.Names() == b.Names()
	})
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

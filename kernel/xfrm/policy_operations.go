package xfrm

import (
	"errors"
	"fmt"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// addPolicy installs a policy and asks for the number that the kernel gave it.
func (b *Backend) addPolicy(typ uint16, p kernel.Policy) (kernel.PolicyID, error) {
	if err := b.capabilities.CheckPolicy(p); err != nil {
		return 0, err
	}
	device, err := b.device(p.Binding)
	if err != nil {
		return 0, fmt.Errorf("policy %v %v: %w", p.Direction, p.Selector, err)
	}
	m, err := addPolicy(typ, p, device)
	if err != nil {
		return 0, err
	}
	what := fmt.Sprintf("policy %v %v", p.Direction, p.Selector)
	if _, err := b.requests.Execute(m); err != nil {
		return 0, explain(what, err)
	}
	installed, err := b.getPolicy(p.Selector, p.Direction, p.Binding)
	if err != nil {
		return 0, err
	}
	return installed.ID, b.note(p)
}

// note keeps what the kernel does not know of a policy, and carries it out.
func (b *Backend) note(p kernel.Policy) error {
	key := nameOf(p)
	old := b.notes[key]
	if old.mss != 0 && old.mss != p.MSS {
		if err := b.host.unclamp(p); err != nil {
			return err
		}
	}
	if p.MSS != 0 && old.mss != p.MSS {
		if err := b.host.clamp(p); err != nil {
			return err
		}
	}
	delete(b.notes, key)
	if n := (note{p.MSS, p.Set, p.Offload, p.Device}); n != (note{}) {
		b.notes[key] = n
	}
	return nil
}

// policyName tells policies apart.
type policyName struct {
	selector  kernel.Selector
	direction kernel.Direction
	of        kernel.Binding
}

// note is what the kernel does not know of a policy. Devices encrypt for SAs.
type note struct {
	mss     uint16
	set     kernel.Mark
	offload kernel.Offload
	device  string
}

func nameOf(p kernel.Policy) policyName {
	return policyName{p.Selector, p.Direction, p.Binding.Names()}
}

// annotate adds what was noted to a policy that the kernel tells of.
func (b *Backend) annotate(p kernel.Policy) kernel.Policy {
	n := b.notes[nameOf(p)]
	p.MSS, p.Set, p.Offload, p.Device = n.mss, n.set, n.offload, n.device
	return p
}

func (b *Backend) getPolicy(s kernel.Selector, d kernel.Direction, of kernel.Binding) (p kernel.Policy, err error) {
	m, err := namePolicy(msgGetPolicy, s, d, of)
	if err != nil {
		return p, err
	}
	what := fmt.Sprintf("policy %v %v", d, s)
	replies, err := b.requests.Execute(m)
	if err != nil {
		return p, explain(what, err)
	}
	if len(replies) != 1 || replies[0].Type != msgNewPolicy {
		return p, fmt.Errorf("%w: %d answers about %s", ErrMalformed, len(replies), what)
	}
	p, _, err = parsePolicy(replies[0].Body)
	return b.annotate(p), err
}

func (b *Backend) deletePolicy(op kernel.DeletePolicy) error {
	m, err := namePolicy(msgDelPolicy, op.Selector, op.Direction, op.Binding)
	if err != nil {
		return err
	}
	if _, err = b.requests.Execute(m); err != nil {
		return explain(fmt.Sprintf("policy %v %v", op.Direction, op.Selector), err)
	}
	return b.note(kernel.Policy{Selector: op.Selector, Direction: op.Direction, Binding: op.Binding.Names()})
}

func (b *Backend) dumpPolicy() ([]kernel.Policy, error) {
	replies, err := b.requests.Execute(netlink.Message{Type: msgGetPolicy, Flags: netlink.FlagDump})
	if err != nil {
		return nil, explain("dump of policies", err)
	}
	var all []kernel.Policy
	for _, m := range replies {
		p, ok, err := parsePolicy(m.Body)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, b.annotate(p))
		}
	}
	return all, b.forget(all)
}

// forget drops what was noted of policies that ended otherwise than by deletePolicy.
func (b *Backend) forget(all []kernel.Policy) error {
	here := make(map[policyName]bool, len(all))
	for _, p := range all {
		here[nameOf(p)] = true
	}
	var errs []error
	for name := range b.notes {
		if !here[name] {
			errs = append(errs, b.note(kernel.Policy{Selector: name.selector, Direction: name.direction, Binding: name.of}))
		}
	}
	return errors.Join(errs...)
}

package xfrm

import (
	"errors"
	"fmt"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// apply does one operation. It runs on the Pump's goroutine alone.
func (b *Backend) apply(r kernel.Request) kernel.Result {
	result := kernel.Result{Request: r}
	switch op := r.Op.(type) {
	case kernel.GetSPI:
		result.SPI, result.Err = b.getSPI(op)
	case kernel.AddSA:
		if result.Err = b.capabilities.CheckSA(op.SA); result.Err == nil {
			result.Err = b.addSA(op.SA)
		}
	case kernel.UpdateSA:
		result.Err = b.updateSA(op.SA)
	case kernel.DeleteSA:
		result.Err = b.deleteSA(op.ID)
	case kernel.GetSA:
		result.SAs, result.Err = b.getSA(op.ID)
	case kernel.DumpSA:
		result.SAs, result.Err = b.dumpSA()
	case kernel.FlushSA:
		_, err := b.requests.Execute(request(msgFlushSA, 0, uint8(op.Proto)))
		result.Err = explain("flush of SAs", err)
	case kernel.AddPolicy:
		result.Policy, result.Err = b.addPolicy(msgNewPolicy, op.Policy)
	case kernel.UpdatePolicy:
		result.Policy, result.Err = b.addPolicy(msgUpdPolicy, op.Policy)
	case kernel.DeletePolicy:
		result.Err = b.deletePolicy(op)
	case kernel.DumpPolicy:
		result.Policies, result.Err = b.dumpPolicy()
	default:
		result.Err = fmt.Errorf("operation %T: %w", r.Op, kernel.ErrUnsupported)
	}
	return result
}

func (b *Backend) getSPI(op kernel.GetSPI) (kernel.SPI, error) {
	m, err := allocSPI(op)
	if err != nil {
		return 0, err
	}
	replies, err := b.requests.Execute(m)
	if err != nil {
		return 0, explain(fmt.Sprintf("an SPI for SAs from %v to %v", op.Src, op.Dst), err)
	}
	if len(replies) != 1 || replies[0].Type != msgNewSA {
		return 0, fmt.Errorf("%w: %d answers to a request for an SPI", ErrMalformed, len(replies))
	}
	s, err := parseState(replies[0].Body)
	if err != nil {
		return 0, err
	}
	return s.report.SPI, nil
}

// addSA installs an SA. An inbound one takes the place of the reservation of
// its SPI, which the kernel calls an update.
func (b *Backend) addSA(sa kernel.SA) error {
	typ := uint16(msgNewSA)
	if sa.Direction == kernel.In {
		dump, err := b.dumpOf(sa.SAID)
		switch {
		case err == nil:
			s, err := parseState(dump)
			if err != nil {
				return err
			}
			if !s.larval {
				return fmt.Errorf("%v: %w", sa, kernel.ErrExists)
			}
			typ = msgUpdSA
		case !errors.Is(err, kernel.ErrNotFound):
			return err
		}
	}
	m, err := addState(typ, sa)
	if err != nil {
		return err
	}
	defer clear(m.Body)
	_, err = b.requests.Execute(m)
	return explain(sa, err)
}

// updateSA finds the SA by its identity or, when its destination moved, by SPI
// and reqid. What the kernel cannot change in place is made anew.
func (b *Backend) updateSA(sa kernel.SA) error {
	old := sa.SAID
	dump, err := b.dumpOf(old)
	if errors.Is(err, kernel.ErrNotFound) {
		if old, err = b.formerly(sa); err == nil {
			dump, err = b.dumpOf(old)
		}
	}
	if err != nil {
		return err
	}
	defer clear(dump)
	m, moved, err := updateState(dump, sa)
	if err != nil {
		return err
	}
	defer clear(m.Body)
	if moved {
		if err := b.deleteSA(old); err != nil {
			return err
		}
	}
	_, err = b.requests.Execute(m)
	return explain(sa, err)
}

// formerly finds the one SA that may have been sa before its destination moved.
func (b *Backend) formerly(sa kernel.SA) (kernel.SAID, error) {
	all, err := b.dumpSA()
	if err != nil {
		return kernel.SAID{}, err
	}
	var found []kernel.SAID
	for _, s := range all {
		if s.SPI == sa.SPI && s.Proto == sa.Proto && s.ReqID == sa.ReqID {
			found = append(found, s.SAID)
		}
	}
	if len(found) != 1 {
		return kernel.SAID{}, fmt.Errorf("%v: %w", sa, kernel.ErrNotFound)
	}
	return found[0], nil
}

func (b *Backend) deleteSA(id kernel.SAID) error {
	_, err := b.requests.Execute(request(msgDelSA, 0, toStateID(id)))
	return explain(id, err)
}

// dumpOf returns an SA as the kernel writes it, with its keys: the caller
// wipes them.
func (b *Backend) dumpOf(id kernel.SAID) ([]byte, error) {
	replies, err := b.requests.Execute(request(msgGetSA, 0, toStateID(id)))
	if err != nil {
		return nil, explain(id, err)
	}
	if len(replies) != 1 || replies[0].Type != msgNewSA {
		return nil, fmt.Errorf("%w: %d answers about %v", ErrMalformed, len(replies), id)
	}
	return replies[0].Body, nil
}

func (b *Backend) getSA(id kernel.SAID) ([]kernel.SAState, error) {
	dump, err := b.dumpOf(id)
	if err != nil {
		return nil, err
	}
	s, err := parseState(dump)
	if err != nil {
		return nil, err
	}
	if s.larval {
		return nil, fmt.Errorf("%v: %w", id, kernel.ErrNotFound)
	}
	return []kernel.SAState{s.report}, nil
}

func (b *Backend) dumpSA() ([]kernel.SAState, error) {
	replies, err := b.requests.Execute(netlink.Message{Type: msgGetSA, Flags: netlink.FlagDump})
	if err != nil {
		return nil, explain("dump of SAs", err)
	}
	var all []kernel.SAState
	for _, m := range replies {
		s, err := parseState(m.Body)
		if err != nil {
			return nil, err
		}
		if !s.larval && s.report.Proto == kernel.ESP {
			all = append(all, s.report)
		}
	}
	return all, nil
}

// addPolicy installs a policy and asks for the number that the kernel gave it.
func (b *Backend) addPolicy(typ uint16, p kernel.Policy) (kernel.PolicyID, error) {
	if err := b.capabilities.CheckPolicy(p); err != nil {
		return 0, err
	}
	m, err := addPolicy(typ, p)
	if err != nil {
		return 0, err
	}
	what := fmt.Sprintf("policy %v %v", p.Direction, p.Selector)
	if _, err := b.requests.Execute(m); err != nil {
		return 0, explain(what, err)
	}
	if m, err = namePolicy(msgGetPolicy, p.Selector, p.Direction); err != nil {
		return 0, err
	}
	replies, err := b.requests.Execute(m)
	if err != nil {
		return 0, explain(what, err)
	}
	if len(replies) != 1 || replies[0].Type != msgNewPolicy {
		return 0, fmt.Errorf("%w: %d answers about %s", ErrMalformed, len(replies), what)
	}
	installed, _, err := parsePolicy(replies[0].Body)
	return installed.ID, err
}

func (b *Backend) deletePolicy(op kernel.DeletePolicy) error {
	m, err := namePolicy(msgDelPolicy, op.Selector, op.Direction)
	if err != nil {
		return err
	}
	_, err = b.requests.Execute(m)
	return explain(fmt.Sprintf("policy %v %v", op.Direction, op.Selector), err)
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
			all = append(all, p)
		}
	}
	return all, nil
}

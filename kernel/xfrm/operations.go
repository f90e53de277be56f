package xfrm

import (
	"errors"
	"fmt"
	"syscall"

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
		result.Err = b.replaceSA(op.Old(), op.SA)
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
	case kernel.Migrate:
		result.Policy, result.Err = b.migrate(op)
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
	device, err := b.device(sa.Binding)
	if err != nil {
		return fmt.Errorf("%v: %w", sa, err)
	}
	m, err := addState(typ, sa, device)
	if err != nil {
		return err
	}
	defer clear(m.Body)
	_, err = b.requests.Execute(m)
	switch {
	case sa.Offload != kernel.NoOffload && errors.Is(err, syscall.EINVAL): // an older kernel, or such a device
		return fmt.Errorf("%v: %v offload to device %q: %w: %w", sa, sa.Offload, sa.Device, kernel.ErrUnsupported, err)
	case err != nil:
		return explain(sa, err)
	}
	b.remember(sa.SAID, sa.Mark)
	if sa.Offload != kernel.NoOffload {
		return b.checkOffload(sa)
	}
	return nil
}

// device is the index of the device that a binding asks to encrypt; 0 for none.
func (b *Backend) device(of kernel.Binding) (int, error) {
	if of.Offload == kernel.NoOffload {
		return 0, nil
	}
	index, err := b.host.deviceIndex(of.Device)
	if err != nil {
		return 0, fmt.Errorf("device %q: %w", of.Device, err)
	}
	return index, nil
}

// checkOffload holds that the device really encrypts: for one that cannot, the
// kernel does it in silence.
func (b *Backend) checkOffload(sa kernel.SA) error {
	dump, err := b.dumpOf(sa.SAID)
	if err != nil {
		return err
	}
	s, err := parseState(dump)
	if err != nil || s.report.Offload == sa.Offload {
		return err
	}
	return errors.Join(fmt.Errorf("%v: device %q does not encrypt: %w", sa, sa.Device, kernel.ErrUnsupported), b.deleteSA(sa.SAID))
}

// forgetMarks drops the marks of SAs that ended otherwise than by deleteSA.
func (b *Backend) forgetMarks(all []kernel.SAState) {
	if len(b.marks) == 0 {
		return
	}
	clear(b.marks)
	for _, s := range all {
		b.remember(s.SAID, s.Mark)
	}
}

// remember notes the mark that an SA is found by.
func (b *Backend) remember(id kernel.SAID, mark kernel.Mark) {
	if mark != (kernel.Mark{}) {
		b.marks[id] = mark
	}
}

// replaceSA changes an SA whose identity before is given. What the kernel cannot
// change in place is made anew.
func (b *Backend) replaceSA(old kernel.SAID, sa kernel.SA) error {
	dump, err := b.dumpOf(old)
	if err != nil {
		return err
	}
	return b.replace(old, dump, sa)
}

// replace gives the SA of a dump, which it wipes, the addresses, encapsulation and
// lifetimes of sa.
func (b *Backend) replace(old kernel.SAID, dump []byte, sa kernel.SA) error {
	defer clear(dump)
	m, moved, err := updateState(dump, sa)
	if err != nil {
		return err
	}
	defer clear(m.Body)
	switch {
	case moved && old != sa.SAID: // the numbers jump, so that both may stand for a moment
		if _, err = b.requests.Execute(m); err == nil {
			b.remember(sa.SAID, b.marks[old])
			return b.deleteSA(old)
		}
	case moved:
		mark := b.marks[old]
		if err := b.deleteSA(old); err != nil {
			return err
		}
		_, err = b.requests.Execute(m)
		b.remember(old, mark)
	default:
		_, err = b.requests.Execute(m)
	}
	return explain(sa, err)
}

func (b *Backend) deleteSA(id kernel.SAID) error {
	_, err := b.requests.Execute(nameState(msgDelSA, id, b.marks[id]))
	delete(b.marks, id)
	return explain(id, err)
}

// dumpOf returns an SA as the kernel writes it, with its keys: the caller
// wipes them.
func (b *Backend) dumpOf(id kernel.SAID) ([]byte, error) {
	replies, err := b.requests.Execute(nameState(msgGetSA, id, b.marks[id]))
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
	return []kernel.SAState{b.complete(s)}, nil
}

// complete is the report about an SA with what must be looked up.
func (b *Backend) complete(s state) kernel.SAState {
	b.remember(s.report.SAID, s.report.Mark)
	if s.device != 0 {
		s.report.Device = b.host.deviceName(s.device)
	}
	return s.report
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
		switch s.report.Proto {
		case kernel.ESP, kernel.AH, kernel.IPComp:
			if !s.larval {
				all = append(all, b.complete(s))
			}
		}
	}
	b.forgetMarks(all)
	return all, nil
}

package fake

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"racoon2/kernel"
)

// digest stands for an SA's algorithms and keys.
type digest [sha256.Size]byte

func keyDigest(sa kernel.SA) digest {
	var b []byte
	b = binary.BigEndian.AppendUint16(b, uint16(sa.Encr))
	b = binary.BigEndian.AppendUint16(b, uint16(sa.Integ))
	b = append(b, byte(sa.Comp))
	for _, key := range [][]byte{sa.EncrKey, sa.IntegKey} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
		b = append(b, key...)
	}
	if sa.ESN {
		b = append(b, 1)
	}
	defer clear(b)
	return sha256.Sum256(b)
}

// reserve finds an SPI that is free and not one of the reserved 0–255 (RFC 4303
// §2.1), or a CPI of those that are negotiated (RFC 3173 §3.3).
func (k *Kernel) reserve(now time.Time, op kernel.GetSPI) (kernel.SPI, error) {
	c := k.Capabilities
	switch {
	case op.Proto == kernel.ESP, op.Proto == kernel.AH && c.AH, op.Proto == kernel.IPComp && len(c.Comp) > 0:
	default:
		return 0, fmt.Errorf("SPI for %v: %w", op.Proto, kernel.ErrUnsupported)
	}
	for range 1 << 20 {
		k.spi = k.spi*1664525 + 1013904223 // a full-period generator: every SPI comes in time
		id := kernel.SAID{Dst: op.Dst, Proto: op.Proto, SPI: kernel.SPI(k.spi)}
		if op.Proto == kernel.IPComp {
			id.SPI = firstCPI + kernel.SPI(k.spi>>8)%(lastCPI-firstCPI+1) // the low bits repeat soon
		}
		if id.SPI < 256 || k.sas[id] != nil {
			continue
		}
		k.insert(now, &state{
			reserved: true,
			SAState: kernel.SAState{SA: kernel.SA{
				SAID: id, Src: op.Src, Direction: kernel.In, Mode: op.Mode, ReqID: op.ReqID,
				Hard: kernel.Lifetime{Time: reservationTime},
			}},
		})
		return id.SPI, nil
	}
	return 0, fmt.Errorf("SPI for %v: all are taken", op.Proto)
}

// CPIs that are negotiated (RFC 3173 §3.3).
const (
	firstCPI = 256
	lastCPI  = 61439
)

func (k *Kernel) insert(now time.Time, x *state) {
	k.serial++
	x.serial, x.Added = k.serial, now
	k.sas[x.SAID] = x
}

func (k *Kernel) addSA(now time.Time, sa kernel.SA) error {
	if err := k.Capabilities.CheckSA(sa); err != nil {
		return err
	}
	if old := k.sas[sa.SAID]; old != nil && !(old.reserved && sa.Direction == kernel.In) {
		return fmt.Errorf("%v: %w", sa.SAID, kernel.ErrExists)
	}
	x := &state{SAState: kernel.SAState{SA: sa}, digest: keyDigest(sa), window: newWindow(sa.Replay)}
	x.EncrKey, x.IntegKey = nil, nil
	x.Encap = cloneEncap(sa.Encap)
	k.insert(now, x)
	return nil
}

func (k *Kernel) updateSA(op kernel.UpdateSA) error {
	sa := op.SA
	if !k.Capabilities.UpdateSA {
		return fmt.Errorf("update of %v: %w", sa.SAID, kernel.ErrUnsupported)
	}
	x, there := k.sas[op.Old()], k.sas[sa.SAID]
	switch {
	case x == nil || x.reserved:
		return fmt.Errorf("%v: %w", op.Old(), kernel.ErrNotFound)
	case there != nil && there != x:
		return fmt.Errorf("%v: %w", sa.SAID, kernel.ErrExists)
	}
	delete(k.sas, x.SAID)
	x.SAID, x.Src, x.Encap = sa.SAID, sa.Src, cloneEncap(sa.Encap)
	x.Soft, x.Hard, x.dying = sa.Soft, sa.Hard, false
	k.sas[x.SAID] = x
	return nil
}

func (k *Kernel) deleteSA(id kernel.SAID) error {
	if k.sas[id] == nil {
		return fmt.Errorf("%v: %w", id, kernel.ErrNotFound)
	}
	delete(k.sas, id)
	return nil
}

func (k *Kernel) flush(proto kernel.Protocol) {
	for id := range k.sas {
		if proto == 0 || id.Proto == proto {
			delete(k.sas, id)
		}
	}
}

func (k *Kernel) dump() []kernel.SAState {
	var all []kernel.SAState
	for _, x := range k.ordered() {
		if !x.reserved {
			all = append(all, x.report())
		}
	}
	return all
}

// ordered is the SAs from the oldest to the newest, so that nothing depends on
// the order of a map.
func (k *Kernel) ordered() []*state {
	all := make([]*state, 0, len(k.sas))
	for _, x := range k.sas {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *state) int { return cmp.Compare(a.serial, b.serial) })
	return all
}

func (x *state) report() kernel.SAState {
	s := x.SAState
	s.Encap = cloneEncap(x.Encap)
	return s
}

func cloneEncap(e *kernel.Encap) *kernel.Encap {
	if e == nil {
		return nil
	}
	c := *e
	return &c
}

// Deadline is when Tick has something to do next.
func (k *Kernel) Deadline() (time.Time, bool) {
	var next time.Time
	consider := func(t time.Time, bound time.Duration) {
		if t = t.Add(bound); bound > 0 && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, x := range k.sas {
		if !x.dying {
			consider(x.Added, x.Soft.Time)
		}
		consider(x.Added, x.Hard.Time)
	}
	for _, p := range k.policies {
		consider(p.added, p.Lifetime.Time)
	}
	return next, !next.IsZero()
}

// Tick lets time pass: limits that were reached become events.
func (k *Kernel) Tick(now time.Time) []kernel.Event {
	var events []kernel.Event
	for _, x := range k.ordered() {
		events = append(events, k.age(now, x)...)
	}
	for _, p := range slices.Clone(k.policies) {
		if reached(now, p.added, p.Lifetime.Time) {
			_, _ = k.deletePolicy(p.Selector, p.Direction, p.Binding)
			events = append(events, kernel.PolicyDeleted{ID: p.ID, Selector: p.Selector, Direction: p.Direction, Binding: p.Binding})
		}
	}
	return k.emit(events...)
}

// age compares an SA with its limits: a soft one is told once, a hard one ends it.
func (k *Kernel) age(now time.Time, x *state) []kernel.Event {
	over := func(l kernel.Lifetime) bool {
		return reached(now, x.Added, l.Time) || l.Bytes > 0 && x.Bytes >= l.Bytes
	}
	switch {
	case over(x.Hard):
		delete(k.sas, x.SAID)
		return []kernel.Event{kernel.Expire{ID: x.SAID, ReqID: x.ReqID, Hard: true}}
	case !x.dying && over(x.Soft):
		x.dying = true
		return []kernel.Event{kernel.Expire{ID: x.SAID, ReqID: x.ReqID}}
	}
	return nil
}

func reached(now, added time.Time, bound time.Duration) bool {
	return bound > 0 && !now.Before(added.Add(bound))
}

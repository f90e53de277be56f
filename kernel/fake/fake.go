// Package fake is a kernel in memory: SAs, policies and a packet path, with
// faults on demand. Kernel is synchronous, has no clock and no randomness, and
// is what simulations are built on; Backend puts a Kernel behind the channels
// and the real time of kernel.Backend.
//
// The path follows RFC 4301 §5: outbound policy, SAs, IPComp, ESP and AH; inbound
// SA, replay window, selector, policy. Packets are not encrypted: a Datagram
// carries a digest of its sender's keys for each transform, and a receiver with
// other keys counts a failed integrity check. Fail closed both ways: what a
// policy protects neither leaves nor arrives in clear.
//
// It does not know fragments, routes, addresses of hosts or path MTU. A Forward
// policy is kept but never consulted: In stands for both. Policy.MSS is kept and
// has no effect, since packets have no content; so have marks, if_id and
// offload for who sets their Capabilities.
package fake

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// reservationTime is how long a reserved SPI waits for its SA.
const reservationTime = 30 * time.Second

// Kernel is a kernel in memory. The zero value is not ready; use New.
type Kernel struct {
	Name string
	// Capabilities may be changed before the first operation.
	Capabilities kernel.Capabilities

	sas      map[kernel.SAID]*state
	policies []*entry // strongest first
	serial   uint64   // of SAs and policies, so that "newest" has an answer
	spi      uint32
	policyID kernel.PolicyID
	faults   []fault
	lose     int
	drops    map[Drop]uint64
}

// state is an SA, or the reservation of an SPI, with what happened to it.
type state struct {
	kernel.SAState
	serial   uint64
	reserved bool
	digest   digest
	seq      uint64 // last one sent; of AH and ESP
	window   window
	dying    bool // the soft limit was reached
	mapped   netip.AddrPort
}

// entry is a policy with the time of its making.
type entry struct {
	kernel.Policy
	serial uint64
	added  time.Time
}

type fault struct {
	op  reflect.Type
	err error
}

// New makes a kernel that can do everything the vocabulary has but what ties
// SAs to things of a host (kernel.Binding). SPIs are drawn from a sequence that
// depends on the name alone.
func New(name string) *Kernel {
	spi := uint32(2166136261) // FNV-1a
	for _, c := range []byte(name) {
		spi = (spi ^ uint32(c)) * 16777619
	}
	return &Kernel{
		Name: name,
		Capabilities: kernel.Capabilities{
			ESN: true, MaxReplay: 4096, Forward: true, PortRanges: true, ByteLifetimes: true,
			Migrate: true, MSS: true, Bundles: true, AH: true, Comp: []transform.COMP{transform.COMP_DEFLATE},
			Encap: true, UpdateSA: true, Mapping: true,
			Encr: []transform.ENCR{
				transform.ENCR_AES_GCM_16, transform.ENCR_AES_CBC, transform.ENCR_CHACHA20_POLY1305,
			},
			Integ: []transform.INTEG{
				transform.AUTH_NONE, transform.AUTH_HMAC_SHA1_96, transform.AUTH_HMAC_SHA2_256_128,
				transform.AUTH_HMAC_SHA2_384_192, transform.AUTH_HMAC_SHA2_512_256,
			},
		},
		sas:   map[kernel.SAID]*state{},
		spi:   spi,
		drops: map[Drop]uint64{},
	}
}

// Fail makes the next operation of op's type fail with err.
func (k *Kernel) Fail(op kernel.Op, err error) {
	k.faults = append(k.faults, fault{reflect.TypeOf(op), err})
}

// LoseEvents makes the next n events disappear; a Resync comes in place of
// each run of lost ones.
func (k *Kernel) LoseEvents(n int) { k.lose += n }

// Apply does one operation.
func (k *Kernel) Apply(now time.Time, r kernel.Request) kernel.Result {
	result := kernel.Result{Request: r}
	for i, f := range k.faults {
		if f.op == reflect.TypeOf(r.Op) {
			k.faults = slices.Delete(k.faults, i, i+1)
			result.Err = f.err
			return result
		}
	}
	switch op := r.Op.(type) {
	case kernel.GetSPI:
		result.SPI, result.Err = k.reserve(now, op)
	case kernel.AddSA:
		result.Err = k.addSA(now, op.SA)
	case kernel.UpdateSA:
		result.Err = k.updateSA(op)
	case kernel.DeleteSA:
		result.Err = k.deleteSA(op.ID)
	case kernel.GetSA:
		if x := k.sas[op.ID]; x != nil && !x.reserved {
			result.SAs = []kernel.SAState{x.report()}
		} else {
			result.Err = fmt.Errorf("%v: %w", op.ID, kernel.ErrNotFound)
		}
	case kernel.DumpSA:
		result.SAs = k.dump()
	case kernel.FlushSA:
		k.flush(op.Proto)
	case kernel.AddPolicy:
		result.Policy, result.Err = k.addPolicy(now, op.Policy, false)
	case kernel.UpdatePolicy:
		result.Policy, result.Err = k.addPolicy(now, op.Policy, true)
	case kernel.DeletePolicy:
		result.Policy, result.Err = k.deletePolicy(op.Selector, op.Direction, op.Binding)
	case kernel.Migrate:
		result.Policy, result.Err = k.migrate(op)
	case kernel.DumpPolicy:
		for _, p := range k.policies {
			result.Policies = append(result.Policies, clonePolicy(p.Policy))
		}
	default:
		result.Err = fmt.Errorf("operation %T: %w", r.Op, kernel.ErrUnsupported)
	}
	return result
}

// Foreign does an operation as somebody else on the host would, and returns
// the events by which the kernel tells of it.
func (k *Kernel) Foreign(now time.Time, op kernel.Op) ([]kernel.Event, error) {
	r := k.Apply(now, kernel.Request{Op: op})
	if r.Err != nil {
		return nil, r.Err
	}
	switch op := op.(type) {
	case kernel.DeleteSA:
		return k.emit(kernel.Deleted(op)), nil
	case kernel.FlushSA:
		return k.emit(kernel.Flushed(op)), nil
	case kernel.DeletePolicy:
		return k.emit(kernel.PolicyDeleted{ID: r.Policy, Selector: op.Selector, Direction: op.Direction, Binding: op.Binding}), nil
	}
	return nil, nil
}

// emit lets events pass, or loses them as LoseEvents asked.
func (k *Kernel) emit(events ...kernel.Event) []kernel.Event {
	if k.lose == 0 || len(events) == 0 {
		return events
	}
	n := min(k.lose, len(events))
	k.lose -= n
	return append([]kernel.Event{kernel.Resync{}}, events[n:]...)
}

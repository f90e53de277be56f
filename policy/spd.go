package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// The pauses between tries.
const (
	retryFirst    = time.Second
	retryLimit    = 5 * time.Minute
	deleteTries   = 3
	reinstallGap  = time.Second // between two installations of a policy that others remove
	lostWarnEvery = time.Minute
)

// operation is what an entry waits for.
type operation uint8

const (
	idle operation = iota
	adding
	updating
	deleting
)

// entry is one policy of ours in the kernel: what is wanted, what is there, and
// the one request under way. sync makes the second equal to the first.
type entry struct {
	key
	sel   *Selector
	index int // of the selector in the configuration
	place int // among those with the same index

	want *kernel.Policy // nil: none
	have *kernel.Policy // as far as known; nil: none
	id   kernel.PolicyID

	op     operation
	sent   *kernel.Policy // what the request was about
	serial uint64         // of the last request

	failure  string // why the kernel does not have it; "" while nothing is wrong
	failures int    // in a row
	timer    timer  // the next try

	disturbed bool      // somebody removed it while a request was under way
	restored  time.Time // when it was last installed again
	lost      int       // times that others removed it since the last warning
	warned    time.Time

	waiters []*standing // changes of names that wait for it
}

func newEntry(k key) *entry {
	e := &entry{key: k}
	e.timer.Of = e
	return e
}

// status describes the entry.
func (e *entry) status() Entry {
	s := Entry{Selector: e.sel.Name, ID: e.id}
	switch {
	case e.want != nil:
		s.Policy = *e.want
	case e.have != nil:
		s.Policy = *e.have
	}
	s.Policy.ID = e.id
	s.Policy.Templates = slices.Clone(s.Policy.Templates)
	switch {
	case e.want == nil:
		s.State = "leaving"
	case e.failure != "":
		s.State = "failed: " + e.failure
	case e.op == idle && e.have != nil && samePolicy(e.want, e.have):
		s.State = "installed"
	default:
		s.State = "pending"
	}
	return s
}

// samePolicy tells whether two policies for the same selector and direction are equal.
func samePolicy(a, b *kernel.Policy) bool {
	return a.Action == b.Action && a.Priority == b.Priority && a.Lifetime == b.Lifetime &&
		a.MSS == b.MSS && a.Binding == b.Binding && slices.Equal(a.Templates, b.Templates)
}

// ring is the next try.
func (e *entry) ring(m *Manager, now time.Time, out *Outbox) {
	m.sync(now, e, out)
	m.release(now, out)
}

// sync sends the request that brings an entry nearer to what is wanted, unless
// one is under way or a pause is on. What must wait for others is left to release.
func (m *Manager) sync(now time.Time, e *entry, out *Outbox) {
	switch {
	case e.op != idle || e.timer.Armed():
	case e.want == nil && e.have == nil:
		delete(m.entries, e.key)
		delete(m.leaving, e)
	case e.want == nil:
		m.leaving[e] = struct{}{} // for release
	case e.have == nil:
		m.request(e, adding, e.want, out)
	case !e.disturbed && samePolicy(e.want, e.have):
		e.failure, e.failures = "", 0
		delete(m.failing, e)
	case e.weakens():
		m.later[e] = struct{}{} // for release
	default:
		m.request(e, updating, e.want, out)
	}
}

// weakens tells whether the change that is wanted lets others come before a
// policy that keeps traffic from passing in clear.
func (e *entry) weakens() bool {
	return e.have.Action != kernel.Bypass && e.want.Priority > e.have.Priority
}

// request sends a request about a policy.
func (m *Manager) request(e *entry, op operation, p *kernel.Policy, out *Outbox) {
	var k kernel.Op
	switch op {
	case adding:
		k = kernel.AddPolicy{Policy: *p}
	case updating:
		k = kernel.UpdatePolicy{Policy: *p}
	case deleting:
		k = kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority, Binding: p.Binding}
	}
	if op != deleting {
		m.installs++
	}
	m.serial++
	e.op, e.sent, e.serial, e.disturbed = op, p, m.serial, false
	m.inFlight[m.serial] = e
	m.submit(m.serial, k, out)
}

// submit hands an operation to the kernel.
func (m *Manager) submit(serial uint64, op kernel.Op, out *Outbox) {
	owner := kernel.Owner{Engine: kernel.PolicyManager, Serial: serial}
	out.Effects = append(out.Effects, KernelRequest{kernel.Request{Owner: owner, Op: op}})
}

// result takes the kernel's answer to a request.
func (m *Manager) result(now time.Time, r kernel.Result, out *Outbox) {
	serial := r.Request.Owner.Serial
	if m.dump.serial == serial && serial != 0 {
		m.dumped(now, r, out)
		return
	}
	if x := m.manualInFlight[serial]; x != nil {
		m.manualResult(now, x, r.Err, out)
		return
	}
	e := m.inFlight[serial]
	if e == nil {
		return // not ours, or answered before
	}
	delete(m.inFlight, serial)
	op := e.op
	e.op = idle
	if op == deleting {
		m.deleted(now, e, r.Err, out)
		m.release(now, out)
		return
	}
	m.installs--
	m.installed(now, e, op, r, out)
	if e.failure == "" || !samePolicy(e.want, e.sent) { // not what has just been refused
		m.sync(now, e, out)
	}
	m.release(now, out)
}

// installed takes the answer to an addition or a change.
func (m *Manager) installed(now time.Time, e *entry, op operation, r kernel.Result, out *Outbox) {
	switch {
	case r.Err == nil:
		m.setID(e, r.Policy)
		e.have, e.failure, e.failures = e.sent, "", 0
		delete(m.failing, e)
		m.stood(e, out)
		out.trace(trace.Debug, "", e.sel.who("policy", e.describe()), "policy installed")
	case op == adding && errors.Is(r.Err, kernel.ErrExists) && e.want != nil:
		out.trace(trace.InternalWarn, ReasonPolicyTakenOver, e.sel.who("policy", e.describe()),
			"selector %s (%s): the kernel has a policy for %v %v already, left by an earlier run or made by another program: it is replaced",
			e.sel.Name, e.sel.Where, e.direction, e.selector)
		m.request(e, updating, e.want, out)
	case e.want == nil: // it was to go anyway
	default:
		m.refused(now, e, op, r.Err, out)
	}
}

// refused handles a policy that the kernel would not take.
func (m *Manager) refused(now time.Time, e *entry, op operation, err error, out *Outbox) {
	if op == updating && errors.Is(err, kernel.ErrNotFound) {
		m.gone(e)
	}
	e.failures++
	e.failure = err.Error()
	m.failing[e] = struct{}{}
	again := "not tried again before the configuration changes"
	if !errors.Is(err, kernel.ErrUnsupported) {
		pause := m.backoff(e.failures, retryFirst, retryLimit)
		m.timers.Set(&e.timer, now.Add(pause))
		again = "next try in " + pause.Round(time.Millisecond).String()
	}
	out.trace(trace.InternalErr, ReasonPolicyFailed, e.sel.who("policy", e.describe(), "error", err.Error()),
		"selector %s (%s): the kernel refuses the policy for %v %v: %v; %s, %s",
		e.sel.Name, e.sel.Where, e.direction, e.selector, err, e.meanwhile(), again)
}

// meanwhile says what becomes of the traffic of a policy that was refused.
func (e *entry) meanwhile() string {
	switch {
	case e.have != nil:
		return "the policy from before stays"
	case e.sel.Action == kernel.Bypass:
		return "its traffic is treated by the policies that remain"
	}
	return "its traffic is not protected by it"
}

// deleted takes the answer to a removal.
func (m *Manager) deleted(now time.Time, e *entry, err error, out *Outbox) {
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		if e.want != nil { // it is wanted again, and still there
			m.sync(now, e, out)
			return
		}
		e.failures++
		if e.failures < deleteTries {
			m.timers.Set(&e.timer, now.Add(m.backoff(e.failures, retryFirst, retryLimit)))
			m.leaving[e] = struct{}{}
			return
		}
		out.trace(trace.InternalErr, ReasonPolicyFailed, e.sel.who("policy", e.describe(), "error", err.Error()),
			"selector %s (%s): the kernel does not remove the policy for %v %v, which is left behind: %v",
			e.sel.Name, e.sel.Where, e.direction, e.selector, err)
	}
	m.gone(e)
	e.failures = 0
	m.sync(now, e, out)
}

// gone notes that the kernel does not have an entry's policy.
func (m *Manager) gone(e *entry) {
	if m.byID[e.id] == e {
		delete(m.byID, e.id)
	}
	e.have, e.id = nil, 0
}

// setID notes the kernel's number of a policy; a kernel without numbers says 0.
func (m *Manager) setID(e *entry, id kernel.PolicyID) {
	if id == 0 || id == e.id {
		return
	}
	if m.byID[e.id] == e {
		delete(m.byID, e.id)
	}
	e.id = id
	m.byID[id] = e
}

// unwant makes an entry leave.
func (m *Manager) unwant(e *entry, out *Outbox) {
	e.want = nil
	m.stood(e, out)
	e.failure, e.failures = "", 0
	delete(m.failing, e)
	delete(m.later, e)
	m.timers.Stop(&e.timer)
	if e.have == nil && e.op == idle {
		delete(m.entries, e.key)
		return
	}
	m.leaving[e] = struct{}{}
}

// release removes the policies that are leaving, once the kernel has answered
// for all that take their place, and except those that overlap with one that it
// refused. Inbound ones go first, and the weakest of each direction, so that an
// exception outlives what it is an exception to. Behind them come the policies
// that become weaker than an exception that has just left.
func (m *Manager) release(now time.Time, out *Outbox) {
	if len(m.leaving)+len(m.later) == 0 || m.installs > 0 && !m.closing {
		return
	}
	for _, e := range sortedEntries(m.leaving) {
		if e.op != idle || e.timer.Armed() || !m.closing && m.stillNeeded(e) {
			continue
		}
		delete(m.leaving, e)
		if e.have == nil { // it never got in
			m.sync(now, e, out)
			continue
		}
		m.request(e, deleting, e.have, out)
	}
	for _, e := range sortedEntries(m.later) {
		delete(m.later, e)
		if e.op == idle && e.have != nil && !e.timer.Armed() {
			m.request(e, updating, e.want, out)
		}
	}
}

// stillNeeded tells whether an old policy covers traffic of one that the kernel
// refused: until that is in place, the old one is better than none.
func (m *Manager) stillNeeded(e *entry) bool {
	if e.have != nil && e.have.Action == kernel.Bypass {
		return false
	}
	for f := range m.failing {
		if f.have == nil && f.direction == e.direction {
			if _, overlap := f.selector.Intersect(e.selector); overlap {
				return true
			}
		}
	}
	return false
}

// strongestFirst is the order of additions.
func strongestFirst(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.want.Priority, b.want.Priority), cmp.Compare(a.index, b.index), cmp.Compare(a.place, b.place))
}

// sortedEntries lists a set of entries in the order of removals.
func sortedEntries(set map[*entry]struct{}) []*entry {
	list := make([]*entry, 0, len(set))
	for e := range set {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int {
		return cmp.Or(
			cmp.Compare(removalRank(a.direction), removalRank(b.direction)),
			cmp.Compare(b.priority(), a.priority()),
			cmp.Compare(b.index, a.index),
			cmp.Compare(b.place, a.place))
	})
	return list
}

func removalRank(d kernel.Direction) int {
	switch d {
	case kernel.In:
		return 0
	case kernel.Forward:
		return 1
	}
	return 2
}

func (e *entry) priority() uint32 {
	switch {
	case e.have != nil:
		return e.have.Priority
	case e.want != nil:
		return e.want.Priority
	}
	return 0
}

// describe writes the policy for a trace.
func (e *entry) describe() string {
	return fmt.Sprintf("%v %v %v priority %d", e.direction, e.selector, e.sel.Action, e.priority())
}

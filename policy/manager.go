package policy

import (
	"cmp"
	"io"
	"math"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// Manager is the policy manager. It is not safe for concurrent use.
type Manager struct {
	rand      io.Reader
	caps      kernel.Capabilities
	engines   []kernel.EngineID
	discovery bool // neighbour discovery passes

	configured *Settings // as given
	settings   *Settings // with the tunnels where they were moved to
	moves      map[string]move
	dynamic    dynamics
	names      names
	interfaces []Interface
	started    bool
	closing    bool
	selectors  map[string]*Selector // by name
	byReqID    map[uint32]*Selector // outbound ones of Protect policies
	problems   []problem            // of the last plan

	entries  map[key]*entry
	byID     map[kernel.PolicyID]*entry
	leaving  map[*entry]struct{} // installed, and no longer wanted
	later    map[*entry]struct{} // to become weaker, after those have gone
	failing  map[*entry]struct{} // wanted, and refused by the kernel
	installs int                 // additions and changes that the kernel has not answered
	plans    uint64              // number of the last plan

	serial   uint64            // of the last request
	inFlight map[uint64]*entry // requests without result
	dump     dump

	attempts map[string]*attempt // by child
	timers   timers
}

// New makes a manager that has nothing installed.
func New(c Config) *Manager {
	engines := c.Engines
	if engines == nil {
		engines = []kernel.EngineID{kernel.IKEv2}
	}
	m := &Manager{
		rand:      c.Rand,
		caps:      c.Capabilities,
		engines:   engines,
		discovery: c.NeighborDiscovery,
		settings:  &Settings{},
		moves:     make(map[string]move),
		names:     newNames(),
		entries:   make(map[key]*entry),
		byID:      make(map[kernel.PolicyID]*entry),
		leaving:   make(map[*entry]struct{}),
		failing:   make(map[*entry]struct{}),
		later:     make(map[*entry]struct{}),
		inFlight:  make(map[uint64]*entry),
		attempts:  make(map[string]*attempt),
	}
	m.dump.timer = timer{index: -1, dump: true}
	m.dynamic.by, m.dynamic.timer = make(map[dynamicKey]*dynamic), timer{index: -1, dynamic: true}
	return m
}

// Handle takes one input and appends its effects to out.
func (m *Manager) Handle(now time.Time, in Input, out *Outbox) {
	switch in := in.(type) {
	case Start:
		m.configure(now, in.Settings, out)
	case Reconfigure:
		m.configure(now, in.Settings, out)
	case Addresses:
		m.addresses(now, in.Interfaces, out)
	case KernelResult:
		m.result(now, in.Result, out)
	case KernelEvent:
		m.event(now, in.Event, out)
	case InitiateFailed:
		m.initiateFailed(now, in, out)
	case ChildUp:
		m.childUp(in)
		m.roadWarrior(now, in, out)
	case AddPolicy:
		m.addDynamic(now, in.Dynamic, out)
	case DeletePolicy:
		m.deleteDynamic(now, in, out)
	case Migrate:
		m.migrate(now, in, out)
	case Moved:
		m.childMoved(now, in, out)
	case Names:
		m.named(now, in, out)
	case Up:
		m.up(now, in.Selector, out)
	case Shutdown:
		m.shutdown(now, out)
	case Timeout:
	}
	for t, ok := m.timers.due(now); ok; t, ok = m.timers.due(now) {
		switch {
		case t.entry != nil:
			m.sync(now, t.entry, out)
			m.release(now, out)
		case t.attempt != nil:
			m.attemptDue(now, t.attempt, out)
		case t.dump:
			m.startDump(out)
		case t.dynamic:
			m.expireDynamic(now, out)
		case t.names:
			m.planNames(now, out)
		}
	}
	m.tellStanding(out)
}

// Deadline is when the next Timeout is due.
func (m *Manager) Deadline() (time.Time, bool) {
	if len(m.timers) == 0 {
		return time.Time{}, false
	}
	return m.timers[0].when, true
}

// Idle tells, after Shutdown, that nothing of ours is left in the kernel.
func (m *Manager) Idle() bool { return m.closing && len(m.entries) == 0 }

// SelectorOf finds the selector behind a policy of ours (spmif's SLID).
func (m *Manager) SelectorOf(id kernel.PolicyID) (name string, ok bool) {
	e := m.byID[id]
	if e == nil {
		return "", false
	}
	return e.sel.Name, true
}

// Entries lists the policies in the order of the configuration, the selectors
// that have none among them, and what is leaving behind them.
func (m *Manager) Entries() []Entry {
	type item struct {
		index, place int
		Entry
	}
	items := make([]item, 0, len(m.entries)+len(m.problems))
	for _, e := range m.entries {
		index := e.index
		if e.want == nil {
			index = math.MaxInt
		}
		items = append(items, item{index, e.place, e.status()})
	}
	for _, p := range m.problems {
		if !p.part {
			items = append(items, item{p.index, 0, Entry{Selector: p.sel.Name, State: "unused: " + p.text}})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.place, b.place))
	})
	out := make([]Entry, len(items))
	for i, it := range items {
		out[i] = it.Entry
	}
	return out
}

// configure takes new settings.
func (m *Manager) configure(now time.Time, s *Settings, out *Outbox) {
	if m.closing {
		return
	}
	if s == nil {
		s = &Settings{}
	}
	m.started = true
	m.configured = s
	s = m.moved(s)
	m.settings = s
	m.names.use(s)
	m.selectors = make(map[string]*Selector, len(s.Selectors))
	m.byReqID = make(map[uint32]*Selector)
	for _, sel := range s.Selectors {
		if _, twice := m.selectors[sel.Name]; !twice {
			m.selectors[sel.Name] = sel
		}
		if sel.Direction == kernel.Out && sel.Action == kernel.Protect && sel.ReqID != 0 && m.byReqID[sel.ReqID] == nil {
			m.byReqID[sel.ReqID] = sel
		}
	}
	m.rebaseDynamic()
	m.replan(now, out)
	m.reviewAttempts()
	// New settings are a reason to ask the kernel again at once.
	for _, e := range sortedEntries(m.failing) {
		m.timers.stop(&e.timer)
		e.failures = 0
		m.sync(now, e, out)
	}
}

// addresses takes the addresses that this host has now.
func (m *Manager) addresses(now time.Time, interfaces []Interface, out *Outbox) {
	same := slices.EqualFunc(m.interfaces, interfaces, func(a, b Interface) bool {
		return a.Name == b.Name && slices.Equal(a.Addrs, b.Addrs)
	})
	m.interfaces = make([]Interface, len(interfaces)) // the slice is the driver's
	for i, ifc := range interfaces {
		m.interfaces[i] = Interface{Name: ifc.Name, Addrs: slices.Clone(ifc.Addrs)}
	}
	if same || !m.started || m.closing || !m.settings.usesMacros() {
		return
	}
	m.replan(now, out)
}

// replan compares what the settings ask for with what there is, and starts
// what is missing. Nothing that stays the same is touched.
func (m *Manager) replan(now time.Time, out *Outbox) {
	p := makePlan(m.settings, m.dynamic.order, here{m.interfaces, &m.names, m.caps}, m.discovery)
	m.explain(p.problems, out)
	m.plans++
	var changed []*entry
	added := 0
	for place, w := range p.wishes {
		k := w.key()
		e := m.entries[k]
		if e == nil {
			e = newEntry(k)
			m.entries[k] = e
			added++
		}
		e.sel, e.index, e.place, e.plan = w.sel, w.index, place, m.plans
		if e.want == nil { // new, or wanted again
			delete(m.leaving, e)
			m.timers.stop(&e.timer)
			e.failures = 0
		}
		if e.want == nil || !samePolicy(e.want, &w.policy) {
			e.want = &w.policy
			changed = append(changed, e)
		}
	}
	removed := 0
	for _, e := range m.entries {
		if e.plan != m.plans && e.want != nil {
			m.unwant(e)
			removed++
		}
	}
	slices.SortFunc(changed, strongestFirst)
	for _, e := range changed {
		m.sync(now, e, out)
	}
	m.release(now, out)
	if len(changed)+removed > 0 {
		out.trace(trace.Info, "", nil, "policies: %d to add, %d to change, %d to remove, %d in all",
			added, len(changed)-added, removed, len(p.wishes))
	}
}

// explain reports the selectors that make no policy, each once as long as its
// reason stays the same.
func (m *Manager) explain(problems []problem, out *Outbox) {
	type said struct{ name, text string }
	before := make(map[said]bool, len(m.problems))
	for _, p := range m.problems {
		before[said{p.sel.Name, p.text}] = true
	}
	for _, p := range problems {
		if !before[said{p.sel.Name, p.text}] {
			out.trace(trace.InternalWarn, ReasonSelectorUnused, p.sel.who(),
				"selector %s (%s): %s", p.sel.Name, p.sel.Where, p.text)
		}
	}
	m.problems = problems
}

// shutdown removes every policy of ours, inbound before outbound.
func (m *Manager) shutdown(now time.Time, out *Outbox) {
	if m.closing {
		return
	}
	m.closing = true
	m.problems = nil
	for _, a := range m.attempts {
		m.timers.stop(&a.timer)
	}
	clear(m.attempts)
	m.timers.stop(&m.dump.timer)
	m.dropDynamic(func(*dynamic) bool { return true })
	m.names.wait = nil
	m.timers.stop(&m.names.timer)
	for _, e := range m.entries {
		if e.want != nil {
			m.unwant(e)
		}
	}
	m.release(now, out)
}

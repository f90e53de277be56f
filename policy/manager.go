package policy

import (
	"cmp"
	"io"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	timers "racoon2/kernel/timer"
)

// Manager is the policy manager. It is not safe for concurrent use.
type Manager struct {
	rand      io.Reader
	caps      kernel.Capabilities
	engines   []kernel.EngineID
	discovery bool // neighbour discovery passes

	settings   *Settings
	selectors  map[string]*Selector   // by name
	indexes    map[string]int         // of those in the settings
	byReqID    map[uint32]*Selector   // outbound ones of Protect policies
	ofChild    map[string][]*Selector // those of Protect policies
	ofRemote   map[string][]*Selector
	interfaces []Interface
	started    bool
	closing    bool

	plan     *plan
	units    units
	dynamic  dynamics
	names    names
	moves    map[string]move // by selector
	paths    map[netip.Addr]*path
	children map[string]*child
	using    map[netip.Addr]int // children that use an address

	entries  map[key]*entry
	byID     map[kernel.PolicyID]*entry
	leaving  map[*entry]struct{} // installed, and no longer wanted
	later    map[*entry]struct{} // to become weaker, after those have gone
	failing  map[*entry]struct{} // wanted, and refused by the kernel
	installs int                 // additions and changes that the kernel has not answered

	serial   uint64            // of the last request
	inFlight map[uint64]*entry // requests without result
	dump     dump

	manual         map[kernel.SAID]*manual // SAs with keys of the configuration
	manualTouched  map[*manual]struct{}    // whose wishes are others
	manualInFlight map[uint64]*manual

	attempts map[string]*attempt // by child
	held     map[string]struct{} // children that stay down
	timers   timers.Heap[alarm]
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
		plan:      newPlan(0),
		units:     newUnits(),
		dynamic:   newDynamics(),
		names:     newNames(),
		moves:     make(map[string]move),
		paths:     make(map[netip.Addr]*path),
		children:  make(map[string]*child),
		using:     make(map[netip.Addr]int),
		entries:   make(map[key]*entry),
		byID:      make(map[kernel.PolicyID]*entry),
		leaving:   make(map[*entry]struct{}),
		failing:   make(map[*entry]struct{}),
		later:     make(map[*entry]struct{}),
		inFlight:  make(map[uint64]*entry),
		attempts:  make(map[string]*attempt),
		held:      make(map[string]struct{}),

		manual: make(map[kernel.SAID]*manual), manualTouched: make(map[*manual]struct{}), manualInFlight: make(map[uint64]*manual),
	}
	m.dump.timer.Of = &m.dump
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
		m.childUp(now, in, out)
	case ChildDown:
		m.childDown(now, in, out)
	case Routed:
		m.routed(now, in, out)
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
	case Down:
		m.down(in.Selector)
	case Retry:
		m.retry(now, in.Remote, out)
	case Shutdown:
		m.shutdown(now, out)
	case Timeout:
	}
	for a, ok := m.timers.Due(now); ok; a, ok = m.timers.Due(now) {
		a.ring(m, now, out)
	}
}

// Deadline is when the next Timeout is due.
func (m *Manager) Deadline() (time.Time, bool) { return m.timers.Next() }

// Idle tells, after Shutdown, that nothing of ours is left in the kernel.
func (m *Manager) Idle() bool { return m.closing && len(m.entries)+len(m.manual) == 0 }

// SelectorOf finds the selector behind a policy of ours (spmif's SLID).
func (m *Manager) SelectorOf(id kernel.PolicyID) (name string, ok bool) {
	e := m.byID[id]
	if e == nil {
		return "", false
	}
	return e.sel.Name, true
}

// Adopts tells whether selectors are only declared, so that policies of others
// with their reqid are theirs.
func (m *Manager) Adopts() bool {
	return slices.ContainsFunc(m.settings.Selectors, func(sel *Selector) bool { return !sel.Install && sel.ReqID != 0 })
}

// Adopted finds the selector that a policy of others belongs to.
func (m *Manager) Adopted(p *kernel.Policy) (name string, ok bool) {
	direction := p.Direction
	if direction == kernel.Forward {
		direction = kernel.In
	}
	for _, sel := range m.settings.Selectors {
		if !sel.Install && sel.ReqID != 0 && sel.Direction == direction &&
			slices.ContainsFunc(p.Templates, func(t kernel.Template) bool { return t.ReqID == sel.ReqID }) {
			return sel.Name, true
		}
	}
	return "", false
}

// Entries lists the policies in the order of the configuration, the selectors
// that have none among them, and what is leaving behind them.
func (m *Manager) Entries() []Entry {
	type item struct {
		leaving, index, place int
		Entry
	}
	problems := m.problems()
	items := make([]item, 0, len(m.entries)+len(problems))
	has := make(map[*Selector]bool)
	static := m.manualStates()
	for _, e := range m.entries {
		leaving := 1
		if e.want != nil {
			leaving = 0
			has[e.sel] = true
		}
		s := e.status()
		if s.State == "installed" && static[e.sel] != "" {
			s.State = static[e.sel]
		}
		items = append(items, item{leaving, e.index, e.place, s})
	}
	for _, p := range problems {
		if !has[p.unit.sel] && !m.closing {
			items = append(items, item{0, p.unit.index, 0, Entry{Selector: p.unit.sel.Name, State: "unused: " + p.text}})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.leaving, b.leaving), cmp.Compare(a.index, b.index), cmp.Compare(a.place, b.place))
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
	was := earlier{m.settings, m.selectors, m.indexes}
	m.settings = s
	m.selectors, m.indexes = make(map[string]*Selector, len(s.Selectors)), make(map[string]int, len(s.Selectors))
	m.byReqID = make(map[uint32]*Selector)
	m.ofChild, m.ofRemote = make(map[string][]*Selector), make(map[string][]*Selector)
	for i, sel := range s.Selectors {
		m.index(i, sel)
	}
	m.forgetMoves()
	m.refit(now, was, out)
	m.awaitAll(out)
	m.reuseAll(out)
	m.retryManual(now, out)
	m.reviewAttempts(now, out)
	// New settings are a reason to ask the kernel again at once.
	for _, e := range sortedEntries(m.failing) {
		m.timers.Stop(&e.timer)
		e.failures = 0
		m.sync(now, e, out)
	}
}

// index makes a selector be found.
func (m *Manager) index(i int, sel *Selector) {
	if _, twice := m.selectors[sel.Name]; !twice {
		m.selectors[sel.Name], m.indexes[sel.Name] = sel, i
	}
	if sel.Action != kernel.Protect {
		return
	}
	m.ofChild[sel.Child] = append(m.ofChild[sel.Child], sel)
	m.ofRemote[sel.Remote] = append(m.ofRemote[sel.Remote], sel)
	if sel.Direction == kernel.Out && sel.ReqID != 0 && m.byReqID[sel.ReqID] == nil {
		m.byReqID[sel.ReqID] = sel
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
	if same || !m.started || m.closing {
		return
	}
	m.reroute(out)
	m.replan(now, out, inOrderOf(m.units.macros)...)
}

// shutdown removes every policy of ours, inbound before outbound.
func (m *Manager) shutdown(now time.Time, out *Outbox) {
	if m.closing {
		return
	}
	m.closing = true
	for _, a := range m.attempts {
		m.timers.Stop(&a.timer)
	}
	clear(m.attempts)
	m.timers.Stop(&m.dump.timer)
	for _, d := range m.dynamic.by {
		m.drop(d, nil)
	}
	for _, p := range m.paths {
		m.timers.Stop(&p.timer)
	}
	clear(m.paths)
	m.forgetManual()
	for _, x := range m.manual {
		m.timers.Stop(&x.timer)
		x.failures = 0
	}
	m.settleManual(now, out)
	for _, e := range m.entries {
		e.waiters = nil
		if e.want != nil {
			m.unwant(e, out)
		}
	}
	m.release(now, out)
}

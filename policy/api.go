// Package policy is the policy manager.
package policy

import (
	"net/netip"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// ---- settings: filled by agent from the configuration, immutable ----

// Settings are the selectors with their policies, in the configuration's order.
type Settings struct {
	Selectors []*Selector
}

// Selector is one selector section with the policy that it names.
type Selector struct {
	Name      string // index; spmif's slid
	Where     string // file:line, for explanations
	Direction kernel.Direction
	Install   bool // off: declared only

	// Src and Dst may hold several addresses; families that do not fit each
	// other make no pair. Each pair becomes one SPD entry.
	Src, Dst []Address
	Proto    uint8 // 0 is any
	// SrcPort and DstPort hold ICMP type and code where Proto is ICMP.
	SrcPort, DstPort kernel.PortRange

	Order   uint32 // lower is stronger; 0: none, the configuration's order decides
	Action  kernel.Action
	Remote  string            // index of the remote; "" for Discard and Bypass
	Engines []kernel.EngineID // acceptable_kmp; the first is the one to initiate with
	Child   string            // name of the outbound selector of this pair, what Initiate carries
	Bundle  []kernel.Protocol // transforms of a bundle, innermost first: ESP, IPComp, AH
	Mode    kernel.Mode
	Level   kernel.Level
	ReqID   uint32
	MyEnd   netip.Addr // tunnel end points
	PeerEnd netip.Addr
}

// Address is one side of a selector: a prefix, or a macro that is expanded
// with this host's addresses.
type Address struct {
	Prefix netip.Prefix
	Macro  string // "MY_IP", "MY_IPV6%eth0", …; "" for a prefix
}

// ---- inputs ----

// Input is one thing that happened.
type Input interface{ input() }

// The inputs.
type (
	// Start gives the first settings and installs them.
	Start struct{ Settings *Settings }
	// Reconfigure replaces the settings; entries that did not change are not touched.
	Reconfigure struct{ Settings *Settings }
	// Addresses says which addresses this host has now.
	Addresses struct{ Interfaces []Interface }
	// KernelResult answers a kernel request of the policy manager.
	KernelResult struct{ Result kernel.Result }
	// KernelEvent is an Acquire, PolicyDeleted or Resync.
	KernelEvent struct{ Event kernel.Event }
	// InitiateFailed says that an engine gave up on a child.
	InitiateFailed struct {
		Engine kernel.EngineID
		Child  string
		Reason string
	}
	// Up asks for the child of a selector as if traffic had met it.
	Up struct{ Selector string }
	// Timeout says that Deadline has passed.
	Timeout struct{}
	// Shutdown removes every policy that this manager installed.
	Shutdown struct{}
)

func (Start) input()          {}
func (Reconfigure) input()    {}
func (Addresses) input()      {}
func (KernelResult) input()   {}
func (KernelEvent) input()    {}
func (InitiateFailed) input() {}
func (Up) input()             {}
func (Timeout) input()        {}
func (Shutdown) input()       {}

// Interface is one network interface with its addresses.
type Interface struct {
	Name  string
	Addrs []netip.Prefix
}

// ---- effects ----

// Outbox takes the effects of one input, in order. The driver empties it.
type Outbox struct {
	Effects []Effect
}

// Effect is one thing to be done.
type Effect interface{ effect() }

// The effects.
type (
	// KernelRequest is an operation for the kernel.
	KernelRequest struct{ Request kernel.Request }
	// Initiate asks an engine for a child SA.
	Initiate struct {
		Engine kernel.EngineID
		Remote string
		Child  string
		Packet *kernel.Selector
	}
	// Trace is for the log and the counters.
	Trace struct{ Event trace.Event }
)

func (KernelRequest) effect() {}
func (Initiate) effect()      {}
func (Trace) effect()         {}

// ---- status ----

// Entry is one SPD entry of ours.
type Entry struct {
	Selector string // name
	ID       kernel.PolicyID
	Policy   kernel.Policy
	State    string // "installed", "pending", "failed: …"
}

// The methods of Manager:
//
//	New(rand io.Reader) *Manager
//	Handle(now time.Time, in Input, out *Outbox)
//	Deadline() (time.Time, bool)
//	Idle() bool                                        // after Shutdown: nothing of ours is left
//	SelectorOf(id kernel.PolicyID) (name string, ok bool) // spmif SLID
//	Entries() []Entry

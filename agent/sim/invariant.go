package sim

import (
	"fmt"
	"strings"
	"time"
)

// Invariant names something that must hold.
type Invariant string

// What must hold at every moment.
const (
	// NoPanic: no core panics, whatever it is given.
	NoPanic Invariant = "no panic"
	// NoClearOut: nothing that a Protect policy covers travels in clear.
	NoClearOut Invariant = "nothing protected leaves in clear"
	// NoClearIn: nothing that came in clear is accepted where it is protected.
	NoClearIn Invariant = "nothing clear is accepted where it is protected"
	// DiscardHolds: what a Discard policy covers neither leaves nor arrives.
	DiscardHolds Invariant = "discarded traffic goes nowhere"
	// NoReplay: no packet is delivered twice.
	NoReplay Invariant = "no packet is delivered twice"
	// RightReceiver: a packet is delivered to its destination, and unchanged.
	RightReceiver Invariant = "packets arrive where they were sent"
	// Answered: a response answers a request that its sender received.
	Answered Invariant = "a response answers a request"
	// Window: no more requests at a time than promised (RFC 7296 §2.3).
	Window Invariant = "one request at a time"
	// SameOctets: a retransmission is bitwise identical (RFC 7296 §2.1).
	SameOctets Invariant = "retransmissions are identical"
	// FreshProof: no authenticator is used twice (RFC 4430 §9: MUST).
	FreshProof Invariant = "every KINK message has a new authenticator"
	// Sealed: KINK's payloads are encrypted and covered by a checksum.
	Sealed Invariant = "KINK's payloads are sealed"
	// InboundFirst: an SA to send with comes after the one to receive with.
	InboundFirst Invariant = "the inbound SA comes first"
	// NoKeyReuse: no key is installed for two SAs.
	NoKeyReuse Invariant = "no key is installed twice"
	// NoPileUp: no more SAs stand for one policy than rekeying and crossing explain.
	NoPileUp Invariant = "SAs do not pile up"
	// NoStorm: the number of messages and events is bounded.
	NoStorm Invariant = "no storm"
)

// What must hold at rest.
const (
	// Flows: traffic that must pass does, both ways; what must not does not.
	Flows Invariant = "traffic flows"
	// NoBlackHole: traffic that must pass never stops for longer than the scenario's Gap.
	NoBlackHole Invariant = "no black hole"
	// IKEAgree: both ends have the same IKE SAs.
	IKEAgree Invariant = "both ends agree on IKE SAs"
	// ChildrenAgree: both ends have the same child SAs, mirrored.
	ChildrenAgree Invariant = "both ends agree on child SAs"
	// SelectorsAgree: the traffic selectors of both ends are mirrored.
	SelectorsAgree Invariant = "both ends agree on traffic selectors"
	// KeysAgree: both ends use the same keys.
	KeysAgree Invariant = "both ends have the same keys"
	// KernelAgrees: a kernel holds the SAs that its engine believes in, and no other.
	KernelAgrees Invariant = "the kernel holds the engine's SAs"
	// PolicyAgrees: a kernel holds the policies of the configuration.
	PolicyAgrees Invariant = "the kernel holds the configured policies"
)

// What must hold after everything was shut down.
const (
	// NoLeakSA: no SA is left in a kernel.
	NoLeakSA Invariant = "no SA is left"
	// NoLeakSPI: no reserved SPI is left in a kernel.
	NoLeakSPI Invariant = "no reserved SPI is left"
	// NoLeakPolicy: no policy is left in a kernel.
	NoLeakPolicy Invariant = "no policy is left"
	// Idle: no engine and no policy manager has anything left to do.
	Idle Invariant = "everything is idle"
)

// Violation is an invariant that did not hold.
type Violation struct {
	At        time.Duration
	Host      string // "" where it is nobody's alone
	Invariant Invariant
	Text      string
}

func (v Violation) String() string {
	where := v.Host
	if where != "" {
		where += ": "
	}
	return fmt.Sprintf("%s %s%s: %s", stamp(v.At), where, v.Invariant, v.Text)
}

// maxViolations bounds the report; a broken run breaks everywhere.
const maxViolations = 20

// violate records that an invariant did not hold.
func (w *World) violate(host string, inv Invariant, format string, args ...any) {
	v := Violation{At: w.now, Host: host, Invariant: inv, Text: fmt.Sprintf(format, args...)}
	if len(w.report.Violations) < maxViolations {
		w.report.Violations = append(w.report.Violations, v)
	}
	w.note(line{host: host, text: "VIOLATION " + string(inv) + ": " + v.Text})
}

// Report is what came of a Scenario.
type Report struct {
	Name       string
	Seed       uint64
	Violations []Violation
	Transcript Transcript
	Messages   int // IKE datagrams sent
	Events     int
	Sent       int // packets of flows
	Delivered  int
	Elapsed    time.Duration // virtual
}

// Broke says whether an invariant was broken.
func (r *Report) Broke(inv Invariant) bool {
	for _, v := range r.Violations {
		if v.Invariant == inv {
			return true
		}
	}
	return false
}

// Err is nil when every invariant held. Otherwise it lists what did not.
func (r *Report) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, seed %d: %d violations", r.Name, r.Seed, len(r.Violations))
	for _, v := range r.Violations {
		b.WriteString("\n  " + v.String())
	}
	return fmt.Errorf("%s", b.String())
}

// String is the whole story: the transcript, and what did not hold.
func (r *Report) String() string {
	var b strings.Builder
	b.WriteString(r.Transcript.String())
	fmt.Fprintf(&b, "%s, seed %d: %d messages, %d events, %d of %d packets delivered in %v\n",
		r.Name, r.Seed, r.Messages, r.Events, r.Delivered, r.Sent, r.Elapsed)
	if err := r.Err(); err != nil {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}

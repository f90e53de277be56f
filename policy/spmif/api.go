package spmif

import (
	"encoding/json"
	"errors"
	"net/netip"
)

// ErrNotFound is what a Handler's error wraps when the thing named does not
// exist; the client sees status 551 instead of 550.
var ErrNotFound = errors.New("does not exist")

// Handler answers the commands of a session; agent implements it. Its methods
// run inside Session.Input. Error texts go to the client on one line, so they
// never hold a secret.
type Handler interface {
	// SelectorOf finds the selector behind a kernel policy (SLID).
	SelectorOf(spid uint32) (name string, ok bool)
	// Policies lists slid and spid of every installed entry (POLICY DUMP).
	Policies() []PolicyEntry
	// Stats are the nine counters of STAT, in the original's order.
	Stats() [9]uint64
	// Status is the whole state of the agent as JSON (STATUS).
	Status() (json.RawMessage, error)
	// SAs lists every IKE SA, each followed by its children (SA LIST).
	SAs() ([]SAEntry, error)
	// FlushSA deletes SAs, telling the peers, and returns how many IKE SAs and
	// children went (SA FLUSH). remote "" is all; a remote that the
	// configuration does not have is ErrNotFound.
	FlushSA(remote string) (ike, children int, err error)
}

// PolicyEntry is one line of POLICY DUMP.
type PolicyEntry struct {
	Selector string // index of the selector
	SPID     uint32 // the kernel's number for the policy
}

// SAEntry is one line of SA LIST.
type SAEntry struct {
	Child  bool           // a child SA; false: an IKE SA
	Name   string         // index of the remote; of the outbound selector for a child
	State  string         // state of an IKE SA; mode of a child, "tunnel" or "transport"
	Local  netip.AddrPort // outer addresses; port 0 for a child without UDP encapsulation
	Remote netip.AddrPort
	SPIs   [2]uint64 // IKE SA: SPIi, SPIr; child: inbound, outbound
}

// StatNames are the names of STAT's counters in their order.
func StatNames() [9]string {
	return [9]string{
		"DNS QUERY", "DNS RESPONSE", "DNS QUERY PROXY", "DNS RESPONSE PROXY",
		"DNS EXPIRED QUERY", "DNS DUP QUERY",
		"CACHE IP ADDRESS", "CACHE FQDN", "CACHE TOTAL FQDN",
	}
}

// Package spmif is the spmif protocol.
package spmif

import "encoding/json"

// Handler answers the commands of a session; agent implements it.
// A Reply's lines go out as NNN-text … NNN text.
type Handler interface {
	// SelectorOf finds the selector behind a kernel policy (SLID).
	SelectorOf(spid uint32) (name string, ok bool)
	// Policies lists slid and spid of every installed entry (POLICY DUMP).
	Policies() []PolicyEntry
	// Stats are the nine counters of STAT, in the original's order.
	Stats() [9]uint64
	// Status is the whole state of the agent as JSON (STATUS).
	Status() (json.RawMessage, error)
	// FlushSA deletes SAs, telling the peers, and returns how many IKE SAs and
	// children went (SA FLUSH). remote "" is all.
	FlushSA(remote string) (ike, children int, err error)
}

// PolicyEntry is one line of POLICY DUMP.
type PolicyEntry struct {
	Selector string
	SPID     uint32
}

package spmif

import (
	"encoding/json"
	"errors"
	"net/netip"
	"time"
)

// What a Handler's errors wrap so that the client sees another status than 550.
var (
	// ErrNotFound says that the thing named does not exist: status 551.
	ErrNotFound = errors.New("does not exist")
	// ErrExists says that it exists already: status 551 for NS.
	ErrExists = errors.New("exists already")
	// ErrNoResolver says that names are not looked up here: the original's
	// replies with its resolver off.
	ErrNoResolver = errors.New("the resolver is off")
)

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

	Names
	Changes
}

// Names are the commands about the resolver. Without one they are
// ErrNoResolver.
type Names interface {
	// FQDNs lists the names that are watched (FQDN LIST).
	FQDNs() ([]string, error)
	// FQDNsOf lists the names of an address (FQDN QUERY).
	FQDNsOf(netip.Addr) ([]string, error)
	// AddFQDN and DeleteFQDN change what is watched beyond the configuration.
	AddFQDN(name string) error
	DeleteFQDN(name string) error
	// Servers lists the upstream servers, the current one first (NS LIST).
	Servers() ([]netip.Addr, error)
	// AddServer, DeleteServer and ChangeServer change them.
	AddServer(netip.Addr) error
	DeleteServer(netip.Addr) error
	ChangeServer(netip.Addr) error
}

// Changes are the commands that change policies and SAs.
type Changes interface {
	// AddPolicy adds a pair of policies (POLICY ADD) and returns the names of the
	// selector and its reverse.
	AddPolicy(PolicyRequest) (selector, reverse string, err error)
	// DeletePolicy removes such policies (POLICY DELETE).
	DeletePolicy(PolicyRequest) error
	// Migrate moves the policies of a tunnel to other ends (MIGRATE).
	Migrate(MigrateRequest) error
	// ShowSA describes the IKE SAs with this remote, child, or SPI as JSON (SA SHOW).
	ShowSA(name string) (json.RawMessage, error)
	// DeleteSA deletes the IKE SA or child with an SPI of this host, telling the peer.
	DeleteSA(spi uint64) error
	// RekeySA has the IKE SA or the child with this SPI of the agent's host take new keys.
	RekeySA(spi uint64) error
	// Initiate asks for the child of a selector (SA INITIATE).
	Initiate(selector string) error
	// TakeDown deletes the children of a selector, and has them stay down until
	// somebody or traffic asks for them (SA DOWN). It returns how many there were.
	TakeDown(selector string) (children int, err error)
}

// PolicyRequest is what POLICY ADD and DELETE carry.
type PolicyRequest struct {
	Selector     string
	Lifetime     time.Duration // ADD alone; 0: no end
	Tunnel       bool          // mode: tunnel or transport
	Src, Dst     netip.Prefix  // zero with DELETE: any
	SASrc, SADst netip.Addr    // zero: as configured
}

// MigrateRequest is what MIGRATE carries: ends of a tunnel in the selector's direction.
type MigrateRequest struct {
	Selector       string
	OldSrc, OldDst netip.Addr
	Src, Dst       netip.Addr
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

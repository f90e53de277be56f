package config

import (
	"net/netip"

	"racoon2/ikev2/transform"
)

// AddressKind says what an Address is written as.
type AddressKind uint8

// The kinds of addresses.
const (
	AddressInet  AddressKind = iota + 1 // numeric: Addr and Prefix
	AddressMacro                        // expanded when used: Macro and Interface
	AddressFQDN                         // host name: Name
	AddressUnix                         // socket path: Name
)

// Macro is an address macro: it stands for addresses of this host, or for any.
type Macro string

// The address macros.
const (
	MacroMyIP            Macro = "MY_IP"
	MacroMyIPv4          Macro = "MY_IPV4"
	MacroMyIPv6          Macro = "MY_IPV6"
	MacroMyIPv6Global    Macro = "MY_IPV6_GLOBAL"
	MacroMyIPv6LinkLocal Macro = "MY_IPV6_LINKLOCAL"
	MacroMyHOA           Macro = "MY_HOA"         // like MY_IP
	MacroAny             Macro = "IP_ANY"         // :: and 0.0.0.0
	MacroRW              Macro = "IP_RW"          // any, filled in from the peer
	MacroUnspecified     Macro = "IP_UNSPECIFIED" // like IP_ANY
)

// Any reports whether the macro stands for any address rather than this host's.
func (m Macro) Any() bool { return m == MacroAny || m == MacroRW || m == MacroUnspecified }

// Address is an address as the configuration has it.
type Address struct {
	Pos       Pos
	Kind      AddressKind
	Addr      netip.Addr   // AddressInet; with its zone
	Prefix    netip.Prefix // AddressInet: masked, of host length where none is written
	HasPrefix bool         // a prefix length is written
	Bits      int          // prefix length written behind a macro or name; 0: none
	Macro     Macro        // AddressMacro
	Interface string       // AddressMacro: the name after %; "" is every interface
	Name      string       // AddressFQDN, AddressUnix
	Port      uint16       // 0: any, or what the directive says
	HasPort   bool         // a port is written, even `any`
}

// AddressRange is a range of addresses of one family, ends included.
type AddressRange struct {
	Pos         Pos
	First, Last netip.Addr
}

// PortRange is an inclusive range of ports; {0, 65535} is any. For ICMP the
// source range holds the type and the destination range the code (RFC 4301 §4.4.1.1).
type PortRange struct {
	First, Last uint16
}

// AnyPort is the range of all ports.
var AnyPort = PortRange{First: 0, Last: 65535}

// IDType is the type of an identity (RFC 7296 §3.5).
type IDType uint8

// The types of identities.
const (
	IDIPAddr IDType = iota + 1
	IDEmail
	IDFQDN
	IDKeyID
	IDX509Subject // the subject of the certificate in the file Value
)

func (t IDType) String() string { return wordOf(idWords, t) }

// ID is an identity as the configuration has it.
type ID struct {
	Pos     Pos
	Type    IDType
	Value   string  // the text; a path where File is set
	File    bool    // keyid: the identity is the file's raw content; x509_subject: always
	Address Address // IDIPAddr: numeric, or a macro
}

// Encryption is an encryption transform with its key length in bits (0: fixed by the algorithm).
type Encryption struct {
	ID      transform.ENCR
	KeyBits uint16
}

// IKEProposal is what one IKE proposal offers or accepts: any combination of its members.
type IKEProposal struct {
	Encr  []Encryption
	PRF   []transform.PRF
	Integ []transform.INTEG // empty for AEADs
	KE    []transform.KE
}

// SAProposal is the same for a child SA. Its key exchange, with need_pfs, is
// that of the remote.
type SAProposal struct {
	Encr  []Encryption      // of ESP alone
	Integ []transform.INTEG // empty for AEADs and for IPComp
	Comp  []transform.COMP  // of IPComp alone
}

// Algorithm is an algorithm by name, where nothing is mapped to a transform.
type Algorithm struct {
	Pos     Pos
	Name    string
	KeyBits int // 0: none written
}

// PublicKey names the files of a key pair or of a peer's public key.
type PublicKey struct {
	Pos     Pos
	Format  string // x509pem, pkcs12 or ascii
	Public  string // path
	Private string // path; "" for a peer's key
}

// Certificates are what a remote authenticates with besides secrets, and what it
// has to fit.
type Certificates struct {
	Mine, Peers   *PublicKey   // nil: none
	MyID, PeersID []ID         // only the first MyID is sent
	Methods       []AuthMethod // those written in kmp_auth_method, built or not
	Used          bool         // the remote authenticates with them
}

// LogMode is the verbosity of a remote's log.
type LogMode uint8

// The log modes.
const (
	LogNormal LogMode = iota + 1
	LogDebug
)

// NATTraversal says whether NATs are looked for (RFC 7296 §2.23).
type NATTraversal uint8

// The settings of nat_traversal.
const (
	NATOff NATTraversal = iota + 1
	NATOn
	NATForce // pretend that both ends are behind NATs
)

// Check says how strictly a peer's values are compared with ours.
type Check uint8

// The settings of selector_check and proposal_check.
const (
	CheckObey Check = iota + 1
	CheckStrict
	CheckClaim
	CheckExact
)

// AuthMethod is a way to authenticate.
type AuthMethod uint8

// The authentication methods of kmp_auth_method.
const (
	AuthPSK AuthMethod = iota + 1
	AuthDSS
	AuthRSASig
	AuthRSAEnc
	AuthRSARev
	AuthGSSAPI
	AuthECDSA
	AuthEdDSA // Ed25519 and Ed448 (RFC 8420)
	AuthEAP
)

func (a AuthMethod) String() string { return wordOf(authWords, a) }

// Event is what a script runs on; it prints as the original's name of the event.
type Event uint8

// The events of script; each has two spellings.
const (
	EventPhase1Up    Event = iota + 1 // phase1_up, ike_sa_up
	EventPhase1Down                   // phase1_down, ike_sa_down
	EventPhase2Up                     // phase2_up, child_up
	EventPhase2Down                   // phase2_down, child_down
	EventPhase1Rekey                  // phase1_rekey, ike_sa_rekey
	EventPhase2Rekey                  // phase2_rekey, child_rekey
	EventMigration
)

func (e Event) String() string { return wordOf(eventWords, e) }

// ConfigAttribute is a thing to ask for in a configuration payload.
type ConfigAttribute uint8

// The words of request. The unversioned ones ask for both families.
const (
	RequestIP4 ConfigAttribute = iota + 1
	RequestIP6
	RequestIP
	RequestDNS
	RequestDNS4
	RequestDNS6
	RequestDHCP
	RequestDHCP4
	RequestDHCP6
	RequestApplicationVersion
	RequestMIP6HomePrefix
)

// Direction is the way traffic goes, seen from this host.
type Direction uint8

// The directions of selectors.
const (
	Inbound Direction = iota + 1
	Outbound
)

func (d Direction) String() string { return wordOf(directionWords, d) }

// Action is what a policy does with traffic.
type Action uint8

// The actions of policies.
const (
	ActionAutoIPsec Action = iota + 1
	ActionStaticIPsec
	ActionDiscard
	ActionNone // let pass in clear
)

func (a Action) String() string { return wordOf(actionWords, a) }

// Mode is transport or tunnel (RFC 4301 §4.1).
type Mode uint8

// The modes of policies.
const (
	ModeTransport Mode = iota + 1
	ModeTunnel
)

func (m Mode) String() string { return wordOf(modeWords, m) }

// Level says how binding a policy is (PF_KEY's policy levels).
type Level uint8

// The levels of policies.
const (
	LevelRequire Level = iota + 1
	LevelUnique
	LevelUse
)

func (l Level) String() string { return wordOf(levelWords, l) }

// InitialChildKE says how the first child gets a key exchange of its own.
type InitialChildKE uint8

// The settings of initial_child_ke.
const (
	InitialChildKEOff InitialChildKE = iota + 1
	InitialChildKEImmediate
	InitialChildKEChildless
)

// SAProtocol is the IPsec protocol of an sa section.
type SAProtocol uint8

// The protocols of sa sections.
const (
	SAESP SAProtocol = iota + 1
	SAAH
	SAIPComp
)

func (p SAProtocol) String() string { return wordOf(saProtocolWords, p) }

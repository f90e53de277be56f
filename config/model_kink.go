package config

import t "racoon2/ikev2/transform"

// KINK is what a remote does with KINK (RFC 4430).
type KINK struct {
	Common

	// The principals, with or without @REALM: krb5.conf knows the realm of a
	// host. "" leaves the name to the agent.
	MyPrincipal       string
	MyPrincipalPos    Pos // not valid when not given
	PeersPrincipal    string
	PeersPrincipalPos Pos

	Keytab      string // path; "" means the system's
	KeytabPos   Pos    // not valid when not given
	CCache      string // path of a credential cache; "": none
	KRB5Conf    string // path; "" means the system's
	KRB5ConfPos Pos    // not valid when not given
	EncTypes    []int  // numbers of RFC 3961's registry, in order of preference

	// AESSHA1PRF is the size in octets of the hash in the prf of the AES-SHA1
	// encryption types, 20 or 16 (RFC 3961 §5.3 with RFC 3962, and what Kerberos
	// libraries made of it).
	AESSHA1PRF int
	UserToUser UserToUser
	ThreeWay   bool   // every REPLY asks for an ACK
	KE         []t.KE // groups for PFS, the first is offered; nil: no PFS unless NeedPFS
}

// UserToUser says which tickets a remote uses and takes (RFC 4430 §3.1).
type UserToUser uint8

// The settings of user_to_user.
const (
	UserToUserAllow   UserToUser = iota + 1 // where the peer or the KDC asks for it
	UserToUserOff                           // never
	UserToUserOn                            // this host begins with it
	UserToUserRequire                       // and takes no other ticket
)

func (u UserToUser) String() string { return wordOf(userToUserWords, u) }

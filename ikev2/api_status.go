package ikev2

import (
	"net/netip"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// IKEInfo describes one IKE SA.
type IKEInfo struct {
	Serial      uint64
	Remote      string // index of the remote; "" while not known
	State       string
	Initiator   bool // original initiator
	SPIi, SPIr  uint64
	LocalAddr   netip.AddrPort
	RemoteAddr  netip.AddrPort
	LocalID     string
	RemoteID    string
	Encr        string // "ENCR_AES_GCM_16-128"
	PRF         string
	Integ       string
	KE          string
	NATLocal    bool     // this host is behind a NAT
	NATRemote   bool     // the peer is
	Extensions  []string // what both ends agreed on beyond RFC 7296, in words
	Established time.Time
	Expires     time.Time
	Children    []ChildInfo
	LastHeard   time.Time
	Reauth      time.Time // when this host repeats the authentication; zero: it does not
}

// ChildInfo describes one child SA pair.
type ChildInfo struct {
	Name        string // outbound selector
	Protocol    kernel.Protocol
	Mode        kernel.Mode
	SPIIn       kernel.SPI
	SPIOut      kernel.SPI
	Local       netip.Addr // outer addresses
	Remote      netip.Addr
	ReqID       uint32
	TSLocal     []message.TrafficSelector
	TSRemote    []message.TrafficSelector
	Encr        string // "" with AH
	Integ       string
	KE          string
	ESN         bool
	Comp        string // of IPComp, "IPCOMP_DEFLATE"; "": nothing is compressed
	CPIIn       kernel.SPI
	CPIOut      kernel.SPI
	Encap       bool
	Established time.Time
	Expires     time.Time
}

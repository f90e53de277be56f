package xfrm

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"racoon2/kernel"
)

// The structures of linux/xfrm.h, as processors with naturally aligned 64-bit
// numbers lay them out. Numbers in network byte order are arrays of octets.

// address is xfrm_address_t: an IPv4 address is in the first four octets.
type address [16]byte

type (
	be16 [2]byte
	be32 [4]byte
)

// selectorInfo is struct xfrm_selector.
type selectorInfo struct {
	Dst, Src             address
	DstPort, DstPortMask be16
	SrcPort, SrcPortMask be16
	Family               uint16
	DstBits, SrcBits     uint8
	Proto                uint8
	_                    [3]byte
	Ifindex              int32
	User                 uint32
}

// id is struct xfrm_id.
type id struct {
	Dst   address
	SPI   be32
	Proto uint8
	_     [3]byte
}

// limits is struct xfrm_lifetime_cfg. Octets and packets are without limit at
// infinite, seconds at 0.
type limits struct {
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
	SoftAdded, HardAdded     uint64 // seconds since the making
	SoftUsed, HardUsed       uint64 // seconds since the first use
}

// counters is struct xfrm_lifetime_cur; times are seconds since 1970.
type counters struct {
	Bytes, Packets uint64
	Added, Used    uint64
}

// stateInfo is struct xfrm_usersa_info.
type stateInfo struct {
	Selector     selectorInfo
	ID           id
	Src          address
	Limits       limits
	Counters     counters
	ReplayErr    uint32 // beyond the window
	DuplicateErr uint32
	IntegrityErr uint32
	Seq          uint32
	ReqID        uint32
	Family       uint16
	Mode         uint8
	ReplayWindow uint8
	Flags        uint8
	_            [7]byte
}

// stateID is struct xfrm_usersa_id.
type stateID struct {
	Dst    address
	SPI    be32
	Family uint16
	Proto  uint8
	_      [1]byte
}

// spiInfo is struct xfrm_userspi_info.
type spiInfo struct {
	State    stateInfo
	Min, Max uint32
}

// policyInfo is struct xfrm_userpolicy_info.
type policyInfo struct {
	Selector  selectorInfo
	Limits    limits
	Counters  counters
	Priority  uint32
	Index     uint32
	Direction uint8
	Action    uint8
	Flags     uint8
	Share     uint8
	_         [4]byte
}

// policyID is struct xfrm_userpolicy_id.
type policyID struct {
	Selector  selectorInfo
	Index     uint32
	Direction uint8
	_         [3]byte
}

// templateInfo is struct xfrm_user_tmpl.
type templateInfo struct {
	ID       id
	Family   uint16
	_        [2]byte
	Src      address
	ReqID    uint32
	Mode     uint8
	Share    uint8
	Optional uint8
	_        [1]byte
	Auth     uint32 // algorithms that may be used, as bits
	Encr     uint32
	Comp     uint32
}

// acquireInfo is struct xfrm_user_acquire.
type acquireInfo struct {
	ID               id
	Src              address
	Selector         selectorInfo
	Policy           policyInfo
	Auth, Encr, Comp uint32
	Seq              uint32
}

// expireInfo is struct xfrm_user_expire.
type expireInfo struct {
	State stateInfo
	Hard  uint8
	_     [7]byte
}

// policyExpireInfo is struct xfrm_user_polexpire.
type policyExpireInfo struct {
	Policy policyInfo
	Hard   uint8
	_      [7]byte
}

// mappingInfo is struct xfrm_user_mapping.
type mappingInfo struct {
	ID               stateID
	ReqID            uint32
	Old, New         address
	OldPort, NewPort be16
}

// encapInfo is struct xfrm_encap_tmpl; the ports are those of packets that the
// SA is for, whichever way they go.
type encapInfo struct {
	Type             uint16
	SrcPort, DstPort be16
	_                [2]byte
	Original         address
}

// replayInfo is struct xfrm_replay_state.
type replayInfo struct {
	OutSeq, Seq, Bitmap uint32
}

// replayESNInfo is struct xfrm_replay_state_esn without its bitmap.
type replayESNInfo struct {
	BitmapLen       uint32 // in words of 32 bits
	OutSeq, Seq     uint32
	OutSeqHi, SeqHi uint32
	Window          uint32
}

// markInfo is struct xfrm_mark.
type markInfo struct {
	Value, Mask uint32
}

// offloadInfo is struct xfrm_user_offload.
type offloadInfo struct {
	Ifindex int32
	Flags   uint8
	_       [3]byte
}

// migrateInfo is struct xfrm_user_migrate.
type migrateInfo struct {
	OldDst, OldSrc       address
	NewDst, NewSrc       address
	Proto, Mode          uint8
	_                    [2]byte
	ReqID                uint32
	OldFamily, NewFamily uint16
}

// algorithmName is the field in which all algorithm attributes start.
type algorithmName [64]byte

// algorithm is struct xfrm_algo without its key.
type algorithm struct {
	Name    algorithmName
	KeyBits uint32
}

// algorithmICV is struct xfrm_algo_auth or xfrm_algo_aead without its key.
type algorithmICV struct {
	Name    algorithmName
	KeyBits uint32
	ICVBits uint32
}

// encode lays out a structure.
func encode(v any) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		panic(err) // a type of this file with a field that has no fixed size
	}
	return b
}

// decode reads a structure from the front of b and returns what follows,
// without the padding that aligns attributes.
func decode(b []byte, v any) ([]byte, error) {
	n, err := binary.Decode(b, binary.NativeEndian, v)
	if err != nil {
		return nil, fmt.Errorf("%w: %d octets where %T has %d", ErrMalformed, len(b), v, binary.Size(v))
	}
	return b[min((n+3)&^3, len(b)):], nil
}

// Address families as Linux numbers them.
const (
	familyUnspec = 0
	familyIPv4   = 2
	familyIPv6   = 10
)

func familyOf(a netip.Addr) uint16 {
	switch {
	case !a.IsValid():
		return familyUnspec
	case a.Is4():
		return familyIPv4
	}
	return familyIPv6
}

func toAddress(a netip.Addr) (x address) {
	if a.IsValid() {
		copy(x[:], a.AsSlice())
	}
	return x
}

// addr reads an address of a family; the zero Addr for an unknown one.
func (x address) addr(family uint16) netip.Addr {
	switch family {
	case familyIPv4:
		return netip.AddrFrom4([4]byte(x[:4]))
	case familyIPv6:
		return netip.AddrFrom16(x)
	}
	return netip.Addr{}
}

func toBE16(v uint16) (b be16) {
	binary.BigEndian.PutUint16(b[:], v)
	return b
}

func (b be16) value() uint16 { return binary.BigEndian.Uint16(b[:]) }

func toBE32(v uint32) (b be32) {
	binary.BigEndian.PutUint32(b[:], v)
	return b
}

func (b be32) value() uint32 { return binary.BigEndian.Uint32(b[:]) }

func (i id) said(family uint16) kernel.SAID {
	return kernel.SAID{Dst: i.Dst.addr(family), Proto: kernel.Protocol(i.Proto), SPI: kernel.SPI(i.SPI.value())}
}

func toStateID(s kernel.SAID) stateID {
	return stateID{Dst: toAddress(s.Dst), SPI: toBE32(uint32(s.SPI)), Family: familyOf(s.Dst), Proto: uint8(s.Proto)}
}

func (i stateID) said() kernel.SAID {
	return kernel.SAID{Dst: i.Dst.addr(i.Family), Proto: kernel.Protocol(i.Proto), SPI: kernel.SPI(i.SPI.value())}
}

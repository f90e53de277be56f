package xfrm

import (
	"encoding/binary"
	"fmt"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// keyRoom is what a message about an SA needs at most, so that its keys are in
// one buffer alone.
const keyRoom = 2048

// spi range that the kernel may choose from; 1–255 are reserved (RFC 4303 §2.1).
const (
	lowestSPI  = 0x100
	highestSPI = 0xffffffff
	highestCPI = 0xefff // those above are for private use (RFC 3173 §3.3)
)

// request is a message whose body is a structure and nothing else.
func request(typ, flags uint16, v any) netlink.Message {
	return netlink.Message{Type: typ, Flags: flags, Body: encode(v)}
}

// allocSPI asks for an SPI.
func allocSPI(op kernel.GetSPI) (netlink.Message, error) {
	mode, err := toMode(op.Mode)
	if err != nil {
		return netlink.Message{}, err
	}
	if !op.Dst.IsValid() || familyOf(op.Src) != familyOf(op.Dst) {
		return netlink.Message{}, fmt.Errorf("an SPI for SAs from %v to %v: two addresses of one family are needed", op.Src, op.Dst)
	}
	highest := uint32(highestSPI)
	switch op.Proto {
	case kernel.ESP, kernel.AH:
	case kernel.IPComp:
		highest = highestCPI
	default:
		return netlink.Message{}, fmt.Errorf("an SPI for %v: %w", op.Proto, kernel.ErrUnsupported)
	}
	return request(msgAllocSPI, 0, spiInfo{
		State: stateInfo{
			ID: id{Dst: toAddress(op.Dst), Proto: uint8(op.Proto)}, Src: toAddress(op.Src),
			Family: familyOf(op.Dst), Mode: mode, ReqID: op.ReqID,
		},
		Min: lowestSPI, Max: highest,
	}), nil
}

// addState installs an SA; typ is msgNewSA, or msgUpdSA in place of a
// reservation; device is the index of sa.Device. The body holds the keys: the
// caller wipes it.
func addState(typ uint16, sa kernel.SA, device int) (netlink.Message, error) {
	info, err := toStateInfo(sa)
	if err != nil {
		return netlink.Message{}, err
	}
	var b netlink.Builder
	b.Grow(keyRoom)
	b.Raw(encode(info))
	if e := toEncap(sa); e != nil {
		b.Octets(attrEncap, encode(e))
	}
	if err := addAlgorithms(&b, sa); err != nil {
		return netlink.Message{}, err
	}
	if window := largeWindow(sa); window > 0 {
		// Without the bitmap itself, which the kernel starts at zero.
		b.Octets(attrReplayESN, encode(replayESNInfo{BitmapLen: (window + 31) / 32, Window: window}))
	}
	addNames(&b, sa.Binding)
	if sa.Set != (kernel.Mark{}) {
		b.U32(attrSetMark, sa.Set.Value)
		b.U32(attrSetMarkMask, sa.Set.Mask)
	}
	if sa.Offload != kernel.NoOffload {
		b.Octets(attrOffload, encode(toOffload(sa, device)))
	}
	return netlink.Message{Type: typ, Body: b.Body()}, b.Err()
}

// toStateInfo translates what of an SA has its place in the fixed structure.
func toStateInfo(sa kernel.SA) (stateInfo, error) {
	mode, err := toMode(sa.Mode)
	switch {
	case err != nil:
		return stateInfo{}, fmt.Errorf("%v: %w", sa, err)
	case !sa.Dst.IsValid() || familyOf(sa.Src) != familyOf(sa.Dst):
		return stateInfo{}, fmt.Errorf("%v: two addresses of one family are needed", sa)
	case sa.Proto != kernel.ESP && sa.Proto != kernel.AH && sa.Proto != kernel.IPComp:
		return stateInfo{}, fmt.Errorf("%v: %w", sa, kernel.ErrUnsupported)
	case sa.Proto != kernel.IPComp && sa.SPI < lowestSPI:
		return stateInfo{}, fmt.Errorf("%v: an SPI above 255 is needed", sa)
	case sa.Proto == kernel.IPComp && (sa.SPI == 0 || sa.SPI > 65535):
		return stateInfo{}, fmt.Errorf("%v: a CPI from 1 to 65535 is needed", sa)
	case sa.Encap != nil && sa.Proto != kernel.ESP:
		return stateInfo{}, fmt.Errorf("%v: UDP encapsulation: %w", sa, kernel.ErrUnsupported)
	case sa.Replay > maxWindow:
		return stateInfo{}, fmt.Errorf("%v: a replay window of %d packets, the limit is %d: %w", sa, sa.Replay, maxWindow, kernel.ErrUnsupported)
	case sa.ESN && sa.Direction == kernel.In && sa.Replay == 0:
		return stateInfo{}, fmt.Errorf("%v: extended sequence numbers without a replay window: %w", sa, kernel.ErrUnsupported)
	}
	info := stateInfo{
		ID: id{Dst: toAddress(sa.Dst), SPI: toBE32(uint32(sa.SPI)), Proto: uint8(sa.Proto)}, Src: toAddress(sa.Src),
		Limits: toLimits(sa.Soft, sa.Hard), ReqID: sa.ReqID, Family: familyOf(sa.Dst), Mode: mode,
	}
	if largeWindow(sa) == 0 {
		info.ReplayWindow = uint8(sa.Replay)
	}
	switch {
	case sa.Selector == (kernel.Selector{}):
		info.Flags |= flagAFUnspec
	case sa.Selector.Valid() != nil:
		return stateInfo{}, fmt.Errorf("%v: %w", sa, sa.Selector.Valid())
	case sa.Mode == kernel.Transport && familyOf(sa.Selector.Src.Addr()) != info.Family:
		info.Flags |= flagAFUnspec // the kernel refuses it
	default:
		info.Selector, _ = toSelector(sa.Selector) // without a mask it is any port
	}
	if sa.Proto == kernel.AH && sa.Dst.Is4() {
		info.Flags |= flagAlign4 // RFC 4302 §3.3.3.2.1
	}
	if sa.ESN {
		info.Flags |= flagESN
	}
	return info, nil
}

// largeWindow is the window for the attribute with a bitmap; 0 when the SA does
// without it. The kernel wants a window with ESN even where nothing arrives.
func largeWindow(sa kernel.SA) uint32 {
	switch {
	case sa.ESN:
		return max(sa.Replay, smallWindow)
	case sa.Replay > smallWindow:
		return sa.Replay
	}
	return 0
}

// addAlgorithms adds the attributes with the keys.
func addAlgorithms(b *netlink.Builder, sa kernel.SA) error {
	switch sa.Proto {
	case kernel.IPComp:
		c, err := findCompression(sa)
		if err != nil {
			return err
		}
		b.Octets(attrAlgComp, encode(algorithm{Name: toName(c.name)}))
		return nil
	case kernel.AH:
		return addMAC(b, sa)
	}
	c, err := findCipher(sa)
	if err != nil {
		return err
	}
	if c.icv > 0 {
		if sa.Integ != transform.AUTH_NONE {
			return fmt.Errorf("%v: %s takes no integrity transform", sa, c.name)
		}
		addKey(b, attrAlgAEAD, algorithmICV{toName(c.name), uint32(8 * len(sa.EncrKey)), c.icv}, sa.EncrKey)
		return nil
	}
	// RFC 8221 §4: encryption without integrity is not offered.
	if _, err := findMAC(sa); err != nil {
		return err
	}
	addKey(b, attrAlgCrypt, algorithm{toName(c.name), uint32(8 * len(sa.EncrKey))}, sa.EncrKey)
	return addMAC(b, sa)
}

// addMAC adds the attribute with the key of integrity.
func addMAC(b *netlink.Builder, sa kernel.SA) error {
	m, err := findMAC(sa)
	if err != nil {
		return err
	}
	// Always with the length of the ICV: without it the kernel would take the
	// 96 bits of a draft for HMAC-SHA-256, where RFC 4868 §2.3 has 128.
	addKey(b, attrAlgAuthTrunc, algorithmICV{toName(m.name), uint32(8 * len(sa.IntegKey)), m.icv}, sa.IntegKey)
	return nil
}

// addNames adds the attributes by which SAs and policies are told apart.
func addNames(b *netlink.Builder, of kernel.Binding) {
	if of.Mark != (kernel.Mark{}) {
		b.Octets(attrMark, encode(markInfo(of.Mark)))
	}
	if of.IfID != 0 {
		b.U32(attrIfID, of.IfID)
	}
}

// toOffload asks a device to encrypt.
func toOffload(sa kernel.SA, device int) offloadInfo {
	o := offloadInfo{Ifindex: int32(device)}
	if sa.Direction == kernel.In {
		o.Flags |= offloadInbound
	}
	if sa.Offload == kernel.OffloadPacket {
		o.Flags |= offloadPacket
	}
	return o
}

// nameState makes a message about the SA with an identity and a mark.
func nameState(typ uint16, s kernel.SAID, mark kernel.Mark) netlink.Message {
	var b netlink.Builder
	b.Raw(encode(toStateID(s)))
	addNames(&b, kernel.Binding{Mark: mark})
	return netlink.Message{Type: typ, Body: b.Body()}
}

// addKey adds an algorithm with its key, and leaves no copy of the key behind.
func addKey(b *netlink.Builder, typ uint16, info any, key []byte) {
	value := make([]byte, 0, binary.Size(info)+len(key))
	value = append(append(value, encode(info)...), key...)
	b.Octets(typ, value)
	clear(value)
}

// toEncap translates the ports of this host and the peer into those of the
// SA's packets.
func toEncap(sa kernel.SA) *encapInfo {
	if sa.Encap == nil {
		return nil
	}
	src, dst := sa.Encap.Local, sa.Encap.Remote
	if sa.Direction == kernel.In {
		src, dst = dst, src
	}
	return &encapInfo{Type: encapESPInUDP, SrcPort: toBE16(src), DstPort: toBE16(dst)}
}

// state is what the kernel says about an SA.
type state struct {
	info   stateInfo
	larval bool // a reservation or an SA that an Acquire asks for
	device int  // index of the one that encrypts
	report kernel.SAState
}

// parseState reads an SA and wipes its keys.
func parseState(body []byte) (state, error) {
	var s state
	rest, err := decode(body, &s.info)
	if err != nil {
		return state{}, err
	}
	defer clear(rest)
	i := &s.info
	sa := &s.report.SA
	sa.SAID, sa.Src, sa.ReqID = i.ID.said(i.Family), i.Src.addr(i.Family), i.ReqID
	sa.Soft, sa.Hard = i.Limits.lifetimes()
	sa.ESN, sa.Replay = i.Flags&flagESN != 0, uint32(i.ReplayWindow)
	if sa.Mode, err = fromMode(i.Mode); err != nil {
		return state{}, err
	}
	if sa.Selector, err = i.Selector.selector(); err != nil {
		return state{}, err
	}
	s.report.Added = moment(i.Counters.Added)
	s.report.Bytes, s.report.Packets = i.Counters.Bytes, i.Counters.Packets
	s.report.ReplayErr = uint64(i.ReplayErr) + uint64(i.DuplicateErr)
	s.report.AuthErr = uint64(i.IntegrityErr)
	s.report.LastUsed = moment(i.Counters.Used) // older kernels tell of the first use alone
	s.larval = true
	a := netlink.ParseAttributes(rest)
	for a.Next() {
		if err := s.attribute(a); err != nil {
			return state{}, err
		}
	}
	return s, a.Err()
}

func (s *state) attribute(a *netlink.Attributes) error {
	sa := &s.report.SA
	switch a.Type() {
	case attrAlgAEAD, attrAlgAuthTrunc:
		var alg algorithmICV
		if _, err := decode(a.Octets(), &alg); err != nil {
			return err
		}
		s.larval = false
		if a.Type() == attrAlgAEAD {
			sa.Encr = encrOf(alg.Name.String(), alg.ICVBits)
		} else {
			sa.Integ = integOf(alg.Name.String(), alg.ICVBits)
		}
	case attrAlgAuth:
		s.larval = false
	case attrAlgCrypt, attrAlgComp:
		var alg algorithm
		if _, err := decode(a.Octets(), &alg); err != nil {
			return err
		}
		s.larval = false
		if a.Type() == attrAlgComp {
			sa.Comp = compOf(alg.Name.String())
		} else {
			sa.Encr = encrOf(alg.Name.String(), 0)
		}
	case attrEncap:
		var e encapInfo
		if _, err := decode(a.Octets(), &e); err != nil {
			return err
		}
		// Without a direction the ports are as for an outbound SA.
		sa.Encap = &kernel.Encap{Local: e.SrcPort.value(), Remote: e.DstPort.value()}
	case attrReplayESN:
		var r replayESNInfo
		if _, err := decode(a.Octets(), &r); err != nil {
			return err
		}
		sa.Replay = r.Window
	case attrLastUsed:
		s.report.LastUsed = moment(a.U64())
	case attrSetMark:
		sa.Set.Value = a.U32()
	case attrSetMarkMask:
		sa.Set.Mask = a.U32()
	case attrOffload:
		var o offloadInfo
		if _, err := decode(a.Octets(), &o); err != nil {
			return err
		}
		sa.Offload, s.device = kernel.OffloadCrypto, int(o.Ifindex)
		if o.Flags&offloadPacket != 0 {
			sa.Offload = kernel.OffloadPacket
		}
	default:
		return parseName(a, &sa.Binding)
	}
	return nil
}

// parseName reads the attributes of addNames.
func parseName(a *netlink.Attributes, b *kernel.Binding) error {
	switch a.Type() {
	case attrMark:
		var m markInfo
		if _, err := decode(a.Octets(), &m); err != nil {
			return err
		}
		b.Mark = kernel.Mark(m)
	case attrIfID:
		b.IfID = a.U32()
	}
	return nil
}

func toMode(m kernel.Mode) (uint8, error) {
	switch m {
	case kernel.Transport:
		return modeTransport, nil
	case kernel.Tunnel:
		return modeTunnel, nil
	}
	return 0, fmt.Errorf("%v: %w", m, kernel.ErrUnsupported)
}

// fromMode is toMode the other way; modes that this package does not install
// are the zero Mode.
func fromMode(m uint8) (kernel.Mode, error) {
	switch m {
	case modeTransport:
		return kernel.Transport, nil
	case modeTunnel:
		return kernel.Tunnel, nil
	case 2, 3, 4, 5: // route optimization, in trigger, BEET, IP-TFS
		return 0, nil
	}
	return 0, fmt.Errorf("%w: mode %d", ErrMalformed, m)
}

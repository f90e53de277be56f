package xfrm

import (
	"math"
	"slices"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// seqMargin is by how much the sequence numbers of a moved SA jump: packets may
// pass between the reading and the moving, and no number may be used twice
// with one key, since AEAD nonces are made of it.
const seqMargin = 1 << 16

// kept says which attributes of a dump make the same SA again.
var kept = [...]uint16{
	attrAlgAEAD, attrAlgCrypt, attrAlgComp, attrAlgAuthTrunc, attrReplay, attrReplayESN, attrExtraFlags,
	attrMark, attrIfID, attrSetMark, attrSetMarkMask, attrOffload,
}

// updateState turns a dumped SA into a message that gives it the addresses,
// encapsulation and lifetimes of sa. moved says that the kernel cannot change
// these in place: the SA must be deleted first, and the message makes it anew.
// Both bodies hold the keys: the caller wipes them.
func updateState(dump []byte, sa kernel.SA) (m netlink.Message, moved bool, err error) {
	var old stateInfo
	rest, err := decode(dump, &old)
	if err != nil {
		return m, false, err
	}
	hadEncap := false
	a := netlink.ParseAttributes(rest)
	for a.Next() {
		hadEncap = hadEncap || a.Type() == attrEncap
	}
	if a.Err() != nil {
		return m, false, a.Err()
	}
	info, encap := old, toEncap(sa)
	info.ID.Dst, info.Src, info.Family = toAddress(sa.Dst), toAddress(sa.Src), familyOf(sa.Dst)
	info.Limits, info.Counters = toLimits(sa.Soft, sa.Hard), counters{}
	moved = info.ID.Dst != old.ID.Dst || info.Src != old.Src || hadEncap != (encap != nil)

	var b netlink.Builder
	b.Grow(keyRoom)
	b.Raw(encode(info))
	for a := netlink.ParseAttributes(rest); a.Next(); {
		if !slices.Contains(kept[:], a.Type()) {
			continue
		}
		value := a.Octets()
		if moved {
			value = advance(a.Type(), value)
		}
		b.Octets(a.Type(), value)
	}
	if encap != nil {
		b.Octets(attrEncap, encode(encap))
	}
	if moved {
		b.Octets(attrCounters, encode(old.Counters)) // it goes on counting
	}
	m = netlink.Message{Type: msgUpdSA, Body: b.Body()}
	if moved {
		m.Type = msgNewSA
	}
	return m, moved, b.Err()
}

// advance adds the margin to the sequence number of an attribute with the
// state of replay protection, and leaves others alone. A number that would
// wrap stays at its end, where the kernel sends nothing more.
func advance(typ uint16, value []byte) []byte {
	switch typ {
	case attrReplay:
		var r replayInfo
		if rest, err := decode(value, &r); err == nil {
			r.OutSeq += min(seqMargin, math.MaxUint32-r.OutSeq)
			return append(encode(r), rest...)
		}
	case attrReplayESN:
		var r replayESNInfo
		if rest, err := decode(value, &r); err == nil {
			seq := uint64(r.OutSeqHi)<<32 | uint64(r.OutSeq)
			seq += min(seqMargin, math.MaxUint64-seq)
			r.OutSeq, r.OutSeqHi = uint32(seq), uint32(seq>>32)
			return append(encode(r), rest...)
		}
	}
	return value
}

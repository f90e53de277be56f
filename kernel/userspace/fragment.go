package userspace

import "encoding/binary"

const (
	moreFragments4 = 0x2000
	fragmentLen6   = 8
)

// fragments cuts a packet up whose header is of a length, so that each piece
// has at most mtu octets (RFC 791 §3.2, RFC 8200 §4.5); nil where that is impossible.
// In IPv6 the header is the part that stays in front of each piece.
func fragments(packet []byte, header, mtu int, id uint32) [][]byte {
	v6 := packet[0]>>4 == 6
	front := header
	if v6 {
		front += fragmentLen6
	}
	size := (mtu - front) &^ 7
	if size < 8 {
		return nil
	}
	var all [][]byte
	for rest, offset := packet[header:], 0; len(rest) > 0; {
		n := min(size, len(rest))
		f := append(make([]byte, 0, front+n), packet[:header]...)
		more := n < len(rest)
		if v6 {
			f = fragmentHeader6(f, offset, more, id)
		} else {
			fragmentHeader4(f, offset, more)
		}
		f = append(f, rest[:n]...)
		setLength(f[:header:header], v6, len(f))
		all = append(all, f)
		rest, offset = rest[n:], offset+n
	}
	return all
}

// fragmentHeader4 makes a header that of a fragment. Options that are not to be
// copied become padding in all but the first (RFC 791 §3.1).
func fragmentHeader4(h []byte, offset int, more bool) {
	flags := uint16(offset / 8)
	if more {
		flags |= moreFragments4
	}
	binary.BigEndian.PutUint16(h[6:], flags)
	if offset == 0 {
		return
	}
	const copied = 0x80
	for o := h[ipv4HeaderLen:]; len(o) > 0 && o[0] != optionEnd; {
		n := 1
		if o[0] != optionNOP {
			if len(o) < 2 || int(o[1]) < 2 || int(o[1]) > len(o) {
				return
			}
			n = int(o[1])
			if o[0]&copied == 0 {
				for i := range n {
					o[i] = optionNOP
				}
			}
		}
		o = o[n:]
	}
}

// fragmentHeader6 puts a fragment header behind the last header of h.
func fragmentHeader6(h []byte, offset int, more bool, id uint32) []byte {
	at, next := 6, h[6]
	for end := ipv6HeaderLen; end < len(h); { // lengths were checked by parse
		at, next = end, h[end]
		end += 8 + 8*int(h[end+1])
	}
	h[at] = protoFragment
	flags := uint16(offset)
	if more {
		flags |= 1
	}
	h = append(h, next, 0)
	h = binary.BigEndian.AppendUint16(h, flags)
	return binary.BigEndian.AppendUint32(h, id)
}

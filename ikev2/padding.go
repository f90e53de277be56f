package ikev2

import "racoon2/ikev2/message"

// padding is what a whole message of this IKE SA is filled up with. Fragments have
// what their cipher asks for: their size is the path's.
func (sa *ikeSA) padding() message.Padding {
	var p message.Padding
	r := sa.remote
	if r == nil && sa.setup != nil {
		r = sa.setup.remote
	}
	if r == nil {
		return p
	}
	if r.Padding.Random {
		p.Fill = sa.e.random
	}
	if r.Padding.Most > 0 {
		var b [2]byte
		if sa.e.random(b[:]) == nil {
			p.More = (int(b[0])<<8 | int(b[1])) % (min(r.Padding.Most, 255) + 1)
		}
	}
	return p
}

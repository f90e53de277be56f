package kink

import (
	"encoding/binary"
	"errors"
	"slices"

	"racoon2/kernel"
	"racoon2/kink/isakmp"
)

// keys are the keying material of one direction.
type keys struct{ encr, integ []byte }

// deriveKeys makes the keys of the SA whose receiver chose spi: KEYMAT of RFC 4430
// §7 and RFC 2409 §5.5, the encryption key first. shared is g^xy, nil without KE;
// nr nil without Nr.
func deriveKeys(s Session, suite isakmp.Suite, spi kernel.SPI, shared, ni, nr []byte) (keys, error) {
	encr := 0
	switch suite.Protocol {
	case isakmp.PROTO_IPCOMP:
		return keys{}, nil
	case isakmp.PROTO_IPSEC_ESP:
		var err error
		if encr, err = suite.Encr.KeyLen(suite.KeyBits); err != nil {
			return keys{}, err
		}
	}
	material, err := keymat(s, encr+suite.Integ.KeyLen(), suite.Protocol, spi, shared, ni, nr)
	if err != nil {
		return keys{}, err
	}
	return keys{encr: material[:encr:encr], integ: material[encr:]}, nil
}

// keymat is K1 | K2 | …, where K1 = prf(Ks, S), Kn = prf(Ks, K(n-1) | S) and
// S = [g^xy |] protocol | SPI | Ni_b [| Nr_b].
func keymat(s Session, size int, proto isakmp.Protocol, spi kernel.SPI, shared, ni, nr []byte) ([]byte, error) {
	seed := make([]byte, 0, len(shared)+5+len(ni)+len(nr))
	seed = append(append(seed, shared...), byte(proto))
	seed = binary.BigEndian.AppendUint32(seed, uint32(spi))
	seed = append(append(seed, ni...), nr...)
	defer clear(seed)
	out := make([]byte, 0, size+64)
	var last []byte
	for len(out) < size {
		in := slices.Concat(last, seed)
		clear(last)
		last = s.PRF(in)
		clear(in)
		if len(last) == 0 { // the session has ended, or its library fails
			clear(out)
			return nil, errNoPRF
		}
		out = append(out, last...)
	}
	clear(last)
	clear(out[size:])
	return out[:size:size], nil
}

var errNoPRF = errors.New("Kerberos gives no keying material")

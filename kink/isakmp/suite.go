package isakmp

import (
	"encoding/binary"
	"fmt"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// Suite is one transform of the IPsec DOI in this project's vocabulary.
type Suite struct {
	Protocol Protocol       // AH, ESP or IPComp
	Encr     transform.ENCR // of ESP
	KeyBits  uint16         // 0: fixed by the algorithm
	Integ    transform.INTEG
	Comp     transform.COMP // of IPComp
	Mode     kernel.Mode
	KE       transform.KE // KE_NONE: no Group Description
	Lifetime kernel.Lifetime
}

// SameExceptLifetime says that two suites are equal but for their lifetimes, and
// in KE where t has none: RFC 4430 §5.1 has no Group Description, so its
// absence in an answer is no other choice.
func (s Suite) SameExceptLifetime(t Suite) bool {
	s.Lifetime, t.Lifetime = kernel.Lifetime{}, kernel.Lifetime{}
	if t.KE == transform.KE_NONE {
		s.KE = transform.KE_NONE
	}
	return s == t
}

// String is the suite in the registries' words.
func (s Suite) String() string {
	name := s.Encr.String()
	switch s.Protocol {
	case PROTO_IPSEC_AH:
		name = "AH"
	case PROTO_IPCOMP:
		name = s.Comp.String()
	}
	if s.KeyBits != 0 {
		name += fmt.Sprintf("-%d", s.KeyBits)
	}
	if s.Integ != transform.AUTH_NONE {
		name += " " + s.Integ.String()
	}
	if s.KE != transform.KE_NONE {
		name += " " + s.KE.String()
	}
	return name + " " + s.Mode.String()
}

// headers pairs the AH transform identifiers with the authentication algorithm that
// each demands (RFC 2407 §4.4.3; RFC 4868 §2.5, RFC 3566 §4.2).
var headers = map[uint8]transform.INTEG{
	AH_MD5: transform.AUTH_HMAC_MD5_96, AH_SHA: transform.AUTH_HMAC_SHA1_96,
	AH_SHA2_256: transform.AUTH_HMAC_SHA2_256_128, AH_SHA2_384: transform.AUTH_HMAC_SHA2_384_192,
	AH_SHA2_512: transform.AUTH_HMAC_SHA2_512_256, AH_AES_XCBC_MAC: transform.AUTH_AES_XCBC_96,
}

// compression pairs the IPCOMP transform identifiers with IKEv2's, which are the same.
var compression = map[uint8]transform.COMP{
	IPCOMP_DEFLATE: transform.COMP_DEFLATE, IPCOMP_LZS: transform.COMP_LZS, IPCOMP_LZJH: transform.COMP_LZJH,
}

// encryption pairs the ESP transform identifiers with IKEv2's.
var encryption = map[uint8]transform.ENCR{
	ESP_DES: transform.ENCR_DES, ESP_3DES: transform.ENCR_3DES, ESP_NULL: transform.ENCR_NULL,
	ESP_AES: transform.ENCR_AES_CBC, ESP_AES_CTR: transform.ENCR_AES_CTR,
	ESP_AES_CCM_8: transform.ENCR_AES_CCM_8, ESP_AES_CCM_12: transform.ENCR_AES_CCM_12,
	ESP_AES_CCM_16: transform.ENCR_AES_CCM_16, ESP_AES_GCM_8: transform.ENCR_AES_GCM_8,
	ESP_AES_GCM_12: transform.ENCR_AES_GCM_12, ESP_AES_GCM_16: transform.ENCR_AES_GCM_16,
	ESP_NULL_AES_GMAC: transform.ENCR_NULL_AUTH_AES_GMAC,
}

// integrity pairs the authentication algorithms with IKEv2's.
var integrity = map[uint16]transform.INTEG{
	authHMACMD5: transform.AUTH_HMAC_MD5_96, authHMACSHA: transform.AUTH_HMAC_SHA1_96,
	authHMACSHA256: transform.AUTH_HMAC_SHA2_256_128, authHMACSHA384: transform.AUTH_HMAC_SHA2_384_192,
	authHMACSHA512: transform.AUTH_HMAC_SHA2_512_256, authAESXCBC: transform.AUTH_AES_XCBC_96,
}

// number is the suite's transform identifier, 0 where the IPsec DOI has none.
func (s Suite) number() uint8 {
	switch s.Protocol {
	case PROTO_IPSEC_ESP:
		return numberOf(encryption, s.Encr)
	case PROTO_IPSEC_AH:
		return numberOf(headers, s.Integ)
	case PROTO_IPCOMP:
		return numberOf(compression, s.Comp)
	}
	return 0
}

func numberOf[N uint8 | uint16, A comparable](table map[N]A, algorithm A) N {
	for n, a := range table {
		if a == algorithm {
			return n
		}
	}
	return 0
}

// Transform writes the suite as the transform of a proposal of its protocol, the
// attributes in the original kinkd's order. It fails for algorithms that the IPsec DOI has
// no number for.
func (s Suite) Transform(number uint8) (Transform, error) {
	t := Transform{Number: number, ID: s.number()}
	if t.ID == 0 {
		return Transform{}, fmt.Errorf("the IPsec DOI has no number for %v", s)
	}
	if s.Lifetime.Time > 0 {
		t.Attributes = append(t.Attributes, basic(SA_LIFE_TYPE, lifeSeconds), duration(uint64(s.Lifetime.Time/time.Second)))
	}
	if s.Lifetime.Bytes > 0 {
		t.Attributes = append(t.Attributes, basic(SA_LIFE_TYPE, lifeKilobytes), duration(max(1, s.Lifetime.Bytes/1024)))
	}
	if s.KE != transform.KE_NONE {
		t.Attributes = append(t.Attributes, basic(GROUP_DESCRIPTION, uint16(s.KE)))
	}
	mode := uint16(modeTransport)
	if s.Mode == kernel.Tunnel {
		mode = modeTunnel
	}
	t.Attributes = append(t.Attributes, basic(ENCAPSULATION_MODE, mode))
	if s.KeyBits != 0 {
		t.Attributes = append(t.Attributes, basic(KEY_LENGTH, s.KeyBits))
	}
	if s.Integ == transform.AUTH_NONE {
		return t, nil
	}
	id := numberOf(integrity, s.Integ)
	if id == 0 {
		return Transform{}, fmt.Errorf("the IPsec DOI has no number for %v", s.Integ)
	}
	t.Attributes = append(t.Attributes, basic(AUTHENTICATION_ALGORITHM, id))
	return t, nil
}

// Parse reads the transform of a proposal of the protocol. The error says what makes it
// unacceptable, whatever the policy is.
func Parse(proto Protocol, t Transform) (Suite, error) {
	s := Suite{Protocol: proto}
	var demanded transform.INTEG
	ok := false
	switch proto {
	case PROTO_IPSEC_ESP:
		s.Encr, ok = encryption[t.ID]
	case PROTO_IPSEC_AH:
		demanded, ok = headers[t.ID]
	case PROTO_IPCOMP:
		s.Comp, ok = compression[t.ID]
	}
	if !ok {
		return Suite{}, fmt.Errorf("%v transform %d is not known", proto, t.ID)
	}
	seen := make(map[AttributeType]bool)
	life := uint16(0)
	for _, a := range t.Attributes {
		if seen[a.Type] && a.Type != SA_LIFE_TYPE && a.Type != SA_LIFE_DURATION {
			return Suite{}, fmt.Errorf("%v stands twice", a.Type)
		}
		seen[a.Type] = true
		if a.Type == SA_LIFE_DURATION {
			if err := s.setLife(life, a.Value); err != nil {
				return Suite{}, err
			}
			life = 0
			continue
		}
		if len(a.Value) != 2 {
			return Suite{}, fmt.Errorf("%v has %d octets in place of 2", a.Type, len(a.Value))
		}
		v := binary.BigEndian.Uint16(a.Value)
		if a.Type == SA_LIFE_TYPE {
			life = v
			continue
		}
		if err := s.set(a.Type, v); err != nil {
			return Suite{}, err
		}
	}
	// RFC 2407 §4.4.3: the attribute MUST be there, and be the transform's.
	if proto == PROTO_IPSEC_AH && s.Integ != demanded {
		return Suite{}, fmt.Errorf("AH transform %d is %v, and %v says %v", t.ID, demanded, AUTHENTICATION_ALGORITHM, s.Integ)
	}
	return s, s.check()
}

// set takes one attribute of two octets.
func (s *Suite) set(t AttributeType, v uint16) error {
	switch t {
	case GROUP_DESCRIPTION:
		s.KE = transform.KE(v)
	case ENCAPSULATION_MODE:
		switch v {
		case modeTunnel:
			s.Mode = kernel.Tunnel
		case modeTransport:
			s.Mode = kernel.Transport
		default:
			return fmt.Errorf("encapsulation mode %d is not known", v)
		}
	case AUTHENTICATION_ALGORITHM:
		integ, ok := integrity[v]
		if !ok {
			return fmt.Errorf("authentication algorithm %d is not known", v)
		}
		s.Integ = integ
	case KEY_LENGTH:
		s.KeyBits = v
	default:
		return fmt.Errorf("%v is not for %v", t, s.Protocol)
	}
	return nil
}

// check refuses what no policy can accept.
func (s *Suite) check() error {
	// RFC 2407 §4.5 leaves an absent mode to the host; a peer that means one says it.
	if s.Mode == 0 {
		return fmt.Errorf("%v is missing", ENCAPSULATION_MODE)
	}
	switch s.Protocol {
	case PROTO_IPCOMP:
		if s.KeyBits != 0 || s.Integ != transform.AUTH_NONE {
			return fmt.Errorf("%v has no keys", s.Protocol)
		}
		return nil
	case PROTO_IPSEC_AH:
		if s.KeyBits != 0 {
			return fmt.Errorf("%v is not for %v", KEY_LENGTH, s.Protocol)
		}
		return nil
	}
	if _, err := s.Encr.KeyLen(s.KeyBits); err != nil {
		return err
	}
	switch {
	case s.Encr.AEAD() && s.Integ != transform.AUTH_NONE:
		return fmt.Errorf("%v with %v", s.Encr, s.Integ)
	case !s.Encr.AEAD() && s.Integ == transform.AUTH_NONE:
		return fmt.Errorf("%v without an authentication algorithm", s.Encr)
	}
	return nil
}

// maxSeconds bounds a negotiated lifetime: more than a hundred years are no limit
// that anybody means.
const maxSeconds = 1<<32 - 1

// setLife takes a duration of the life type that went before it, TV or TLV.
func (s *Suite) setLife(kind uint16, value []byte) error {
	for len(value) > 8 && value[0] == 0 {
		value = value[1:]
	}
	n := ^uint64(0)
	if len(value) <= 8 {
		n = 0
		for _, b := range value {
			n = n<<8 | uint64(b)
		}
	}
	switch {
	case n == 0:
		return fmt.Errorf("%v is zero", SA_LIFE_DURATION)
	case kind == lifeSeconds && s.Lifetime.Time == 0:
		s.Lifetime.Time = time.Duration(min(n, maxSeconds)) * time.Second
	case kind == lifeKilobytes && s.Lifetime.Bytes == 0:
		s.Lifetime.Bytes = min(n, 1<<53) * 1024
	default:
		return fmt.Errorf("%v without its own life type (RFC 2407 §4.5)", SA_LIFE_DURATION)
	}
	return nil
}

func basic(t AttributeType, v uint16) Attribute {
	return Attribute{Type: t, Basic: true, Value: binary.BigEndian.AppendUint16(nil, v)}
}

// duration is TV where two octets suffice, as the original kinkd writes it.
func duration(n uint64) Attribute {
	if n <= 0xffff {
		return basic(SA_LIFE_DURATION, uint16(n))
	}
	a := Attribute{Type: SA_LIFE_DURATION, Value: binary.BigEndian.AppendUint64(nil, n)}
	if n <= 0xffffffff {
		a.Value = a.Value[4:]
	}
	return a
}

package kerberos

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
	"github.com/jcmturner/gokrb5/v8/crypto/rfc3961"
	"github.com/jcmturner/gokrb5/v8/crypto/rfc4757"
	"github.com/jcmturner/gokrb5/v8/crypto/rfc8009"
)

// The encryption types are gokrb5's: the derivation of keys, the ciphers with their
// ciphertext stealing, the hashes and the checksums. Its EncryptMessage and DecryptMessage
// are not used, for four reasons: they slice by lengths that they have not checked; the
// confounder comes from crypto/rand; each call derives its keys anew with a bitwise
// n-fold, which is half of the cost of refusing a stranger's AP-REQ; and with types 19
// and 20 they decrypt before they verify. So the steps are put together here, from keys that are
// derived once. MACs are compared by Key, in constant time (gokrb5 does so as well: hmac.Equal
// for every type).
//
// The prf is ours: gokrb5's cuts the hash to one octet for AES, and is wrong for every type.

// suite is one encryption type: RFC 3961 §3's profile, with the lengths that are looked
// at before anything else is.
type suite struct {
	lib    etype.EType
	size   int // of a protocol key; gokrb5 says 24 for type 20 (RFC 8009 §5: 32)
	blocks int // ciphertext without MAC is a multiple of this; 1: any length
}

// suites never changes.
var suites = newSuites()

func newSuites() map[EType]*suite {
	list := map[EType]*suite{
		DES3_CBC_SHA1_KD:           {size: 24, blocks: 8},
		AES128_CTS_HMAC_SHA1_96:    {size: 16, blocks: 1},
		AES256_CTS_HMAC_SHA1_96:    {size: 32, blocks: 1},
		AES128_CTS_HMAC_SHA256_128: {size: 16, blocks: 1},
		AES256_CTS_HMAC_SHA384_192: {size: 32, blocks: 1},
		RC4_HMAC:                   {size: 16, blocks: 1},
	}
	for e, s := range list {
		lib, err := crypto.GetEtype(int32(e))
		if err != nil {
			delete(list, e)
			continue
		}
		s.lib = lib
	}
	return list
}

// suite is nil for a type that is not supported.
func (e EType) suite() *suite { return suites[e] }

func (s *suite) keySize() int  { return s.size }
func (s *suite) confound() int { return s.lib.GetConfounderByteSize() }
func (s *suite) macSize() int  { return s.lib.GetHMACBitLength() / 8 }

// minimum is the length of the shortest ciphertext: a confounder and a MAC.
func (s *suite) minimum() int { return s.confound() + s.macSize() }

// sumType is the required checksum type (RFC 3961 §3).
func (s *suite) sumType() int32 { return s.lib.GetHashID() }

func (s *suite) etype() EType { return EType(s.lib.GetETypeID()) }

// sha2 says that the MAC is over the ciphertext (RFC 8009 §5).
func (s *suite) sha2() bool {
	e := s.etype()
	return e == AES128_CTS_HMAC_SHA256_128 || e == AES256_CTS_HMAC_SHA384_192
}

// constant is a usage with the octet that tells its derived keys apart (RFC 3961 §5.3).
type constant struct {
	usage uint32
	kind  byte
}

const (
	kindChecksum  = 0x99 // Kc
	kindEncrypt   = 0xAA // Ke
	kindIntegrity = 0x55 // Ki
)

func (c constant) octets() []byte { return append(binary.BigEndian.AppendUint32(nil, c.usage), c.kind) }

// folded are the constants as AES encrypts them to derive keys (RFC 3961 §5.1, n-fold). They
// depend on no key, so that gokrb5's bitwise n-fold runs once for each. It never changes.
var folded = newFolded()

func newFolded() map[constant][]byte {
	table := make(map[constant][]byte)
	for _, usage := range []uint32{
		usagePAEncTimestamp, usageTicket, usageASRepPart, usageTGSReqSum, usageTGSReqAuth, usageTGSRepSessionKey,
		usageAPReqAuth, usageAPRepPart, usageKINKEncrypt, usageKINKChecksum,
	} {
		for _, kind := range []byte{kindChecksum, kindEncrypt, kindIntegrity} {
			c := constant{usage, kind}
			table[c] = rfc3961.Nfold(c.octets(), aes.BlockSize*8)
		}
	}
	return table
}

// derive is DK of RFC 3961 §5.1 or RFC 8009 §3.
func (s *suite) derive(key []byte, c constant) ([]byte, error) {
	in := folded[c]
	if in == nil || s.etype() != AES128_CTS_HMAC_SHA1_96 && s.etype() != AES256_CTS_HMAC_SHA1_96 {
		return s.lib.DeriveKey(key, c.octets())
	}
	var out []byte
	for len(out) < s.size {
		_, next, err := s.lib.EncryptData(key, in)
		if err != nil {
			return nil, err
		}
		out, in = append(out, next...), next
	}
	return out[:s.size], nil
}

// cipherKeys are the keys that an encryption type derives for one usage.
type cipherKeys struct {
	encr []byte // Ke; nil for RC4
	mac  []byte // Ki; K2 for RC4 (RFC 4757 §5)
}

func (s *suite) deriveCipher(key []byte, usage uint32) (*cipherKeys, error) {
	if s.etype() == RC4_HMAC {
		return &cipherKeys{mac: rfc4757.HMAC(key, rfc4757.UsageToMSMsgType(usage))}, nil
	}
	encr, err := s.derive(key, constant{usage, kindEncrypt})
	if err != nil {
		return nil, err
	}
	mac, err := s.derive(key, constant{usage, kindIntegrity})
	return &cipherKeys{encr: encr, mac: mac}, err
}

// deriveSum is Kc. RC4 has none: its checksum takes the key itself.
func (s *suite) deriveSum(key []byte, usage uint32) ([]byte, error) {
	if s.etype() == RC4_HMAC {
		return append([]byte(nil), key...), nil
	}
	return s.derive(key, constant{usage, kindChecksum})
}

// mac is the type's HMAC, cut to its length, over the parts one after the other.
func (s *suite) mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(s.lib.GetHashFunc(), key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)[:s.macSize()]
}

// state is the zero cipher state, which the MAC of types 19 and 20 covers.
func (s *suite) state() []byte { return make([]byte, s.lib.GetCypherBlockBitLength()/8) }

// seal encrypts plain, which starts with the confounder and is whole blocks.
func (s *suite) seal(k *cipherKeys, plain []byte) ([]byte, error) {
	if s.etype() == RC4_HMAC {
		mac := s.mac(k.mac, plain)
		out, err := rfc4757.EncryptData(s.mac(k.mac, mac), plain, s.lib)
		return append(mac, out...), err
	}
	_, out, err := s.lib.EncryptData(k.encr, plain)
	if err != nil {
		return nil, err
	}
	if s.sha2() {
		return append(out, s.mac(k.mac, s.state(), out)...), nil
	}
	return append(out, s.mac(k.mac, plain)...), nil
}

// open decrypts what has the minimum length at least. The plaintext starts with the confounder.
func (s *suite) open(k *cipherKeys, in []byte) ([]byte, error) {
	n := len(in) - s.macSize()
	var plain, want, got []byte
	var err error
	switch {
	case s.etype() == RC4_HMAC:
		got, in = in[:s.macSize()], in[s.macSize():]
		if plain, err = rfc4757.DecryptData(s.mac(k.mac, got), in, s.lib); err == nil {
			want = s.mac(k.mac, plain)
		}
	case n%s.blocks != 0:
		return nil, errIntegrity
	case s.sha2():
		want, got = s.mac(k.mac, s.state(), in[:n]), in[n:]
		if hmac.Equal(want, got) {
			plain, err = s.lib.DecryptData(k.encr, in[:n])
		}
	default:
		if plain, err = s.lib.DecryptData(k.encr, in[:n]); err == nil {
			want, got = s.mac(k.mac, plain), in[n:]
		}
	}
	if err != nil || len(want) == 0 || !hmac.Equal(want, got) {
		clear(plain)
		return nil, errIntegrity
	}
	return plain, nil
}

// sum is the checksum under a key of deriveSum.
func (s *suite) sum(key []byte, usage uint32, data []byte) ([]byte, error) {
	if s.etype() == RC4_HMAC {
		return s.lib.GetChecksumHash(key, data, usage)
	}
	return s.mac(key, data), nil
}

// prf is described at Key.PRF.
func (s *suite) prf(key, data []byte, short bool) ([]byte, error) {
	hash := s.lib.GetHashFunc()()
	switch {
	case s.etype() == RC4_HMAC:
		m := hmac.New(sha1.New, key)
		m.Write(data)
		return m.Sum(nil), nil
	case s.sha2():
		return rfc8009.KDF_HMAC_SHA2(key, []byte("prf"), data, hash.Size()*8, s.lib), nil
	}
	dk, err := s.lib.DeriveKey(key, []byte("prf"))
	if err != nil {
		return nil, err
	}
	defer clear(dk)
	hash.Write(data)
	in := hash.Sum(nil)
	if short || s.blocks > 1 { // a multiple of m = 8 for 3DES (RFC 3961 §5.3)
		in = in[:16]
	}
	_, out, err := s.lib.EncryptData(dk, in)
	if err != nil {
		return nil, fmt.Errorf("prf: %w", err)
	}
	return out, nil
}

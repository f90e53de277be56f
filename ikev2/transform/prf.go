package transform

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
)

// hmacPRF is HMAC as a PRF, untruncated (RFC 2104, RFC 4868 §2.1.2).
type hmacPRF struct {
	newHash func() hash.Hash
	size    int
}

// NewPRF makes a pseudorandom function; the error says that it is not built.
func NewPRF(p PRF) (PseudoRandom, error) {
	switch p {
	case PRF_HMAC_MD5:
		return hmacPRF{md5.New, md5.Size}, nil
	case PRF_AES128_XCBC, PRF_AES128_CMAC:
		return blockPRF{p}, nil
	case PRF_HMAC_SHA1:
		return hmacPRF{sha1.New, sha1.Size}, nil
	case PRF_HMAC_SHA2_256:
		return hmacPRF{sha256.New, sha256.Size}, nil
	case PRF_HMAC_SHA2_384:
		return hmacPRF{sha512.New384, sha512.Size384}, nil
	case PRF_HMAC_SHA2_512:
		return hmacPRF{sha512.New, sha512.Size}, nil
	}
	return nil, fmt.Errorf("%v is not built", p)
}

// KeySize is the hash's output: the preferred key size of an HMAC PRF (RFC 7296 §2.13).
func (p hmacPRF) KeySize() int { return p.size }

func (p hmacPRF) Size() int { return p.size }

func (p hmacPRF) Sum(key []byte, data ...[]byte) []byte {
	mac := hmac.New(p.newHash, key)
	for _, d := range data {
		mac.Write(d)
	}
	return mac.Sum(nil)
}

// Plus is prf+ (RFC 7296 §2.13): n octets of T1 | T2 | … where
// T1 = prf(key, seed | 0x01) and Ti = prf(key, Ti−1 | seed | i).
//
// The counter has one octet, so n is at most 255 times p.Size. No negotiable
// combination of transforms comes near it: an n that is negative or beyond is a
// mistake of the program, and Plus panics.
func Plus(p PseudoRandom, key, seed []byte, n int) []byte {
	if n < 0 || n > 255*p.Size() {
		panic(fmt.Sprintf("transform: prf+ of %d octets; %d are possible", n, 255*p.Size()))
	}
	out := make([]byte, 0, n+p.Size())
	var t []byte
	for i := byte(1); len(out) < n; i++ {
		t = p.Sum(key, t, seed, []byte{i})
		out = append(out, t...)
	}
	clear(t)
	clear(out[n:])
	return out[:n:n]
}

// newHash is the hash under an HMAC integrity algorithm; nil for others.
func (i INTEG) newHash() func() hash.Hash {
	switch i {
	case AUTH_HMAC_MD5_96:
		return md5.New
	case AUTH_HMAC_SHA1_96:
		return sha1.New
	case AUTH_HMAC_SHA2_256_128:
		return sha256.New
	case AUTH_HMAC_SHA2_384_192:
		return sha512.New384
	case AUTH_HMAC_SHA2_512_256:
		return sha512.New
	}
	return nil
}

// newMAC makes the untruncated MAC of an integrity algorithm that is built.
func (i INTEG) newMAC(key []byte) (hash.Hash, error) {
	switch i {
	case AUTH_AES_XCBC_96:
		return newXCBC(key)
	case AUTH_AES_CMAC_96:
		return newCMAC(key)
	}
	return hmac.New(i.newHash(), key), nil
}

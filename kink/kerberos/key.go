package kerberos

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Key usage numbers (RFC 4120 §7.5.1, RFC 4430 §8).
const (
	usagePAEncTimestamp   = 1
	usageTicket           = 2
	usageASRepPart        = 3
	usageTGSReqSum        = 6
	usageTGSReqAuth       = 7
	usageTGSRepSessionKey = 8
	usageAPReqAuth        = 11
	usageAPRepPart        = 12
	usageKINKEncrypt      = 39
	usageKINKChecksum     = 40
)

var (
	errIntegrity = errors.New("the integrity check failed")
	errChecksum  = errors.New("the checksum does not match")
	errWiped     = errors.New("the key has been wiped")
)

// Key is a protocol key (RFC 3961 §3) with the keys derived from it. Its methods
// may be called by several goroutines at a time.
type Key struct {
	etype EType
	suite *suite
	value []byte

	mu     sync.Mutex
	cipher map[uint32]*cipherKeys // bounded by the usages above
	sums   map[uint32][]byte
}

// NewKey makes a key of octets, which it copies. It fails for an unknown
// encryption type and for a length that is not the type's.
func NewKey(etype EType, value []byte) (*Key, error) {
	s := etype.suite()
	if s == nil {
		return nil, fmt.Errorf("%v is not supported", etype)
	}
	if len(value) != s.keySize() {
		return nil, fmt.Errorf("a key of %v has %d octets, not %d", etype, s.keySize(), len(value))
	}
	return &Key{etype: etype, suite: s, value: append([]byte(nil), value...)}, nil
}

// EType is the key's encryption type.
func (k *Key) EType() EType { return k.etype }

// cipherKeys and sumKey derive a usage's keys once. mu is held, until they have been used.
func (k *Key) cipherKeys(usage uint32) (*cipherKeys, error) {
	if c := k.cipher[usage]; c != nil {
		return c, nil
	}
	if k.value == nil {
		return nil, errWiped
	}
	var c *cipherKeys
	err := guard("deriving a key", func() (err error) {
		c, err = k.suite.deriveCipher(k.value, usage)
		return err
	})
	if err != nil {
		return nil, err
	}
	if k.cipher == nil {
		k.cipher = make(map[uint32]*cipherKeys)
	}
	k.cipher[usage] = c
	return c, nil
}

func (k *Key) sumKey(usage uint32) ([]byte, error) {
	if c := k.sums[usage]; c != nil {
		return c, nil
	}
	if k.value == nil {
		return nil, errWiped
	}
	var c []byte
	err := guard("deriving a key", func() (err error) {
		c, err = k.suite.deriveSum(k.value, usage)
		return err
	})
	if err != nil {
		return nil, err
	}
	if k.sums == nil {
		k.sums = make(map[uint32][]byte)
	}
	k.sums[usage] = c
	return c, nil
}

// Encrypt is the type's encrypt function (RFC 3961 §3) with a confounder of rand.
func (k *Key) Encrypt(usage uint32, rand io.Reader, plain []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := k.cipherKeys(usage)
	if err != nil {
		return nil, err
	}
	n, block := k.suite.confound(), k.suite.blocks
	padded := (n + len(plain) + block - 1) / block * block
	buf := make([]byte, padded)
	if _, err := io.ReadFull(rand, buf[:n]); err != nil {
		return nil, fmt.Errorf("no randomness for a confounder: %w", err)
	}
	copy(buf[n:], plain)
	defer clear(buf)
	var out []byte
	err = guard("encrypting", func() (err error) {
		out, err = k.suite.seal(c, buf)
		return err
	})
	return out, err
}

// Decrypt reverses Encrypt. Any length is taken: what is shorter than a
// confounder and a MAC is refused before anything looks into it. The type's
// padding, zero to seven octets, may follow the plaintext.
func (k *Key) Decrypt(usage uint32, cipher []byte) ([]byte, error) {
	if len(cipher) < k.suite.minimum() {
		return nil, fmt.Errorf("a ciphertext of %v has at least %d octets, not %d", k.etype, k.suite.minimum(), len(cipher))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := k.cipherKeys(usage)
	if err != nil {
		return nil, err
	}
	var plain []byte
	err = guard("decrypting", func() (err error) {
		plain, err = k.suite.open(c, cipher)
		return err
	})
	if err != nil {
		return nil, err
	}
	return plain[k.suite.confound():], nil
}

// ChecksumSize is the length of a checksum in octets.
func (k *Key) ChecksumSize() int { return k.suite.macSize() }

// Checksum is the type's required keyed checksum (RFC 3961 §3, get_mic).
func (k *Key) Checksum(usage uint32, data []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, err := k.sumKey(usage)
	if err != nil {
		return nil, err
	}
	var sum []byte
	err = guard("a checksum", func() (err error) {
		sum, err = k.suite.sum(key, usage, data)
		return err
	})
	return sum, err
}

// VerifyChecksum checks a checksum in constant time; any length is taken.
func (k *Key) VerifyChecksum(usage uint32, data, sum []byte) error {
	want, err := k.Checksum(usage, data)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want, sum) != 1 {
		return errChecksum
	}
	return nil
}

// PRF is the type's pseudo-random function. For AES with SHA-1 there are two
// readings: RFC 3961 §5.3 with the message block size m = 1 that RFC 3962 §6
// states keeps all of the hash (20 octets; kinkd of racoon2, this package's
// default); MIT and Heimdal cut the hash to one cipher block (16 octets; short).
// RC4 has none in RFC 4757; HMAC-SHA1, MIT's, is taken.
func (k *Key) PRF(data []byte, short bool) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.value == nil {
		return nil, errWiped
	}
	var out []byte
	err := guard("the prf", func() (err error) {
		out, err = k.suite.prf(k.value, data, short)
		return err
	})
	return out, err
}

// wipe forgets the key. A transaction may still hold it: whatever it is used for
// afterwards fails, for everybody knows a key of zeros.
func (k *Key) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.value)
	for _, c := range k.cipher {
		clear(c.encr)
		clear(c.mac)
	}
	for _, s := range k.sums {
		clear(s)
	}
	k.value, k.cipher, k.sums = nil, nil, nil
}

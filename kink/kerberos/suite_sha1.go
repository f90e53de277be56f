package kerberos

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"slices"
)

// The simplified profile of RFC 3961 §5: 3DES (§6.3) and AES (RFC 3962).

// constant is a usage with the octet that tells its derived keys apart (RFC 3961 §5.3).
func constant(usage uint32, kind byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, usage), kind)
}

const (
	kindChecksum  = 0x99 // Kc
	kindEncrypt   = 0xAA // Ke
	kindIntegrity = 0x55 // Ki
)

// hmacSHA1 is HMAC-SHA1, cut to size octets.
func hmacSHA1(key, data []byte, size int) []byte {
	m := hmac.New(sha1.New, key)
	m.Write(data)
	return m.Sum(nil)[:size]
}

// deriveRandom is DR of RFC 3961 §5.1: size octets of the cipher fed with its own output.
func deriveRandom(b cipher.Block, label []byte, size int) []byte {
	n := b.BlockSize()
	in := fold(label, n)
	var out []byte
	for len(out) < size {
		next := make([]byte, n)
		b.Encrypt(next, in)
		out = append(out, next...)
		in = next
	}
	return out[:size]
}

// fold is n-fold of RFC 3961 §5.1: the input, repeated with a right rotation of 13
// bits each time until its length is a multiple of size, added up in pieces of
// size octets in ones' complement.
func fold(in []byte, size int) []byte {
	total := len(in) * size / gcd(len(in), size)
	long := make([]byte, 0, total)
	for i := 0; len(long) < total; i++ {
		long = append(long, rotate(in, 13*i)...)
	}
	out := make([]byte, size)
	for piece := range slices.Chunk(long, size) {
		addOnes(out, piece)
	}
	return out
}

// rotate turns a bit string right by n bits.
func rotate(in []byte, n int) []byte {
	total := len(in) * 8
	out := make([]byte, len(in))
	for i := range total {
		from := (i - n%total + total) % total
		bit := in[from/8] >> (7 - from%8) & 1
		out[i/8] |= bit << (7 - i%8)
	}
	return out
}

// addOnes adds b to a in ones' complement: the last carry comes round.
func addOnes(a, b []byte) {
	carry := 0
	for i := len(a) - 1; i >= 0; i-- {
		carry += int(a[i]) + int(b[i])
		a[i] = byte(carry)
		carry >>= 8
	}
	for i := len(a) - 1; carry != 0; i = (i + len(a) - 1) % len(a) {
		carry += int(a[i])
		a[i] = byte(carry)
		carry >>= 8
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// ---- AES with SHA-1 (RFC 3962) ----

type aesSHA1 struct{ size int }

func (s aesSHA1) keySize() int { return s.size }
func (aesSHA1) minimum() int   { return 28 }
func (aesSHA1) confound() int  { return aes.BlockSize }
func (aesSHA1) macSize() int   { return 12 }
func (aesSHA1) block() int     { return 1 }
func (s aesSHA1) sumType() int32 {
	if s.size == 16 {
		return 15
	}
	return 16
}

func (s aesSHA1) derive(key, label []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return deriveRandom(b, label, s.size), nil
}

func (s aesSHA1) deriveCipher(key []byte, usage uint32) (*cipherKeys, error) {
	ke, err := s.derive(key, constant(usage, kindEncrypt))
	if err != nil {
		return nil, err
	}
	defer clear(ke)
	b, err := aes.NewCipher(ke)
	if err != nil {
		return nil, err
	}
	ki, err := s.derive(key, constant(usage, kindIntegrity))
	return &cipherKeys{cipher: b, mac: ki}, err
}

func (s aesSHA1) deriveSum(key []byte, usage uint32) ([]byte, error) {
	return s.derive(key, constant(usage, kindChecksum))
}

func (s aesSHA1) seal(k *cipherKeys, plain []byte) []byte {
	mac := hmacSHA1(k.mac, plain, s.macSize())
	return append(ctsEncrypt(k.cipher, plain), mac...)
}

func (s aesSHA1) open(k *cipherKeys, in []byte) ([]byte, bool) {
	n := len(in) - s.macSize()
	plain := ctsDecrypt(k.cipher, in[:n])
	return plain, subtle.ConstantTimeCompare(hmacSHA1(k.mac, plain, s.macSize()), in[n:]) == 1
}

func (s aesSHA1) sum(key []byte, _ uint32, data []byte) []byte {
	return hmacSHA1(key, data, s.macSize())
}

func (s aesSHA1) prf(key, data []byte, short bool) ([]byte, error) {
	dk, err := s.derive(key, []byte("prf"))
	if err != nil {
		return nil, err
	}
	defer clear(dk)
	b, err := aes.NewCipher(dk)
	if err != nil {
		return nil, err
	}
	hash := sha1.Sum(data)
	if short {
		return ctsEncrypt(b, hash[:aes.BlockSize]), nil
	}
	return ctsEncrypt(b, hash[:]), nil
}

// ---- 3DES (RFC 3961 §6.3) ----

type des3 struct{}

func (des3) keySize() int   { return 24 }
func (des3) minimum() int   { return 28 }
func (des3) confound() int  { return des.BlockSize }
func (des3) macSize() int   { return sha1.Size }
func (des3) block() int     { return des.BlockSize }
func (des3) sumType() int32 { return 12 }

func (des3) derive(key, label []byte) ([]byte, error) {
	b, err := des.NewTripleDESCipher(key)
	if err != nil {
		return nil, err
	}
	random := deriveRandom(b, label, 21)
	defer clear(random)
	var out []byte
	for seven := range slices.Chunk(random, 7) {
		out = append(out, desKey(seven)...)
	}
	return out, nil
}

// desKey makes a DES key of 56 bits (RFC 3961 §6.3.1, DES3random-to-key): the low
// bits of the seven octets make the eighth, then parity, then weak keys are changed.
func desKey(seven []byte) []byte {
	key := make([]byte, 8)
	for i, v := range seven {
		key[i] = v &^ 1
		key[7] |= v & 1 << (i + 1)
	}
	for i, v := range key {
		key[i] = v | byte(1-bits.OnesCount8(v)&1)
	}
	if weakDES(binary.BigEndian.Uint64(key)) {
		key[7] ^= 0xF0
	}
	return key
}

// weakDES tells the weak and semi-weak keys of DES (FIPS 74): each half of them is
// one of four patterns, and the four patterns pair up in these sixteen ways.
func weakDES(key uint64) bool {
	switch key {
	case 0x0101010101010101, 0xFEFEFEFEFEFEFEFE, 0xE0E0E0E0F1F1F1F1, 0x1F1F1F1F0E0E0E0E,
		0x011F011F010E010E, 0x1F011F010E010E01, 0x01E001E001F101F1, 0xE001E001F101F101,
		0x01FE01FE01FE01FE, 0xFE01FE01FE01FE01, 0x1FE01FE00EF10EF1, 0xE01FE01FF10EF10E,
		0x1FFE1FFE0EFE0EFE, 0xFE1FFE1FFE0EFE0E, 0xE0FEE0FEF1FEF1FE, 0xFEE0FEE0FEF1FEF1:
		return true
	}
	return false
}

func (s des3) deriveCipher(key []byte, usage uint32) (*cipherKeys, error) {
	ke, err := s.derive(key, constant(usage, kindEncrypt))
	if err != nil {
		return nil, err
	}
	defer clear(ke)
	b, err := des.NewTripleDESCipher(ke)
	if err != nil {
		return nil, err
	}
	ki, err := s.derive(key, constant(usage, kindIntegrity))
	return &cipherKeys{cipher: b, mac: ki}, err
}

func (s des3) deriveSum(key []byte, usage uint32) ([]byte, error) {
	return s.derive(key, constant(usage, kindChecksum))
}

func (s des3) seal(k *cipherKeys, plain []byte) []byte {
	mac := hmacSHA1(k.mac, plain, s.macSize())
	out := make([]byte, len(plain), len(plain)+len(mac))
	cipher.NewCBCEncrypter(k.cipher, make([]byte, des.BlockSize)).CryptBlocks(out, plain)
	return append(out, mac...)
}

func (s des3) open(k *cipherKeys, in []byte) ([]byte, bool) {
	n := len(in) - s.macSize()
	if n%des.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, n)
	cipher.NewCBCDecrypter(k.cipher, make([]byte, des.BlockSize)).CryptBlocks(plain, in[:n])
	return plain, subtle.ConstantTimeCompare(hmacSHA1(k.mac, plain, s.macSize()), in[n:]) == 1
}

func (s des3) sum(key []byte, _ uint32, data []byte) []byte {
	return hmacSHA1(key, data, s.macSize())
}

// prf cuts the hash to two blocks (RFC 3961 §5.3: a multiple of m = 8).
func (s des3) prf(key, data []byte, _ bool) ([]byte, error) {
	dk, err := s.derive(key, []byte("prf"))
	if err != nil {
		return nil, err
	}
	defer clear(dk)
	b, err := des.NewTripleDESCipher(dk)
	if err != nil {
		return nil, err
	}
	hash := sha1.Sum(data)
	out := make([]byte, 16)
	cipher.NewCBCEncrypter(b, make([]byte, des.BlockSize)).CryptBlocks(out, hash[:16])
	return out, nil
}

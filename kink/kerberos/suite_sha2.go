package kerberos

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// ---- AES with SHA-2 (RFC 8009) ----

type aesSHA2 struct{ size int }

func (s aesSHA2) keySize() int { return s.size }
func (s aesSHA2) minimum() int { return aes.BlockSize + s.macSize() }
func (aesSHA2) confound() int  { return aes.BlockSize }
func (aesSHA2) block() int     { return 1 }

func (s aesSHA2) macSize() int {
	if s.size == 16 {
		return 16
	}
	return 24
}

func (s aesSHA2) sumType() int32 {
	if s.size == 16 {
		return 19
	}
	return 20
}

func (s aesSHA2) hash() func() hash.Hash {
	if s.size == 16 {
		return sha256.New
	}
	return sha512.New384
}

// kdf is KDF-HMAC-SHA2 of RFC 8009 §3 for size octets, of which one block is always enough.
func (s aesSHA2) kdf(key, label, context []byte, size int) []byte {
	m := hmac.New(s.hash(), key)
	m.Write([]byte{0, 0, 0, 1})
	m.Write(label)
	m.Write([]byte{0})
	m.Write(context)
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(size)*8))
	return m.Sum(nil)[:size]
}

func (s aesSHA2) deriveCipher(key []byte, usage uint32) (*cipherKeys, error) {
	ke := s.kdf(key, constant(usage, kindEncrypt), nil, s.size)
	defer clear(ke)
	b, err := aes.NewCipher(ke)
	if err != nil {
		return nil, err
	}
	return &cipherKeys{cipher: b, mac: s.kdf(key, constant(usage, kindIntegrity), nil, s.macSize())}, nil
}

func (s aesSHA2) deriveSum(key []byte, usage uint32) ([]byte, error) {
	return s.kdf(key, constant(usage, kindChecksum), nil, s.macSize()), nil
}

// mac covers the zero cipher state and the ciphertext (RFC 8009 §5).
func (s aesSHA2) mac(key, cipher []byte) []byte {
	m := hmac.New(s.hash(), key)
	m.Write(make([]byte, aes.BlockSize))
	m.Write(cipher)
	return m.Sum(nil)[:s.macSize()]
}

func (s aesSHA2) seal(k *cipherKeys, plain []byte) []byte {
	out := ctsEncrypt(k.cipher, plain)
	return append(out, s.mac(k.mac, out)...)
}

func (s aesSHA2) open(k *cipherKeys, in []byte) ([]byte, bool) {
	n := len(in) - s.macSize()
	if subtle.ConstantTimeCompare(s.mac(k.mac, in[:n]), in[n:]) != 1 {
		return nil, false
	}
	return ctsDecrypt(k.cipher, in[:n]), true
}

func (s aesSHA2) sum(key []byte, _ uint32, data []byte) []byte {
	m := hmac.New(s.hash(), key)
	m.Write(data)
	return m.Sum(nil)[:s.macSize()]
}

func (s aesSHA2) prf(key, data []byte, _ bool) ([]byte, error) {
	return s.kdf(key, []byte("prf"), data, s.hash()().Size()), nil
}

// ---- RC4 (RFC 4757) ----

type rc4HMAC struct{}

func (rc4HMAC) keySize() int   { return 16 }
func (rc4HMAC) minimum() int   { return 24 }
func (rc4HMAC) confound() int  { return 8 }
func (rc4HMAC) macSize() int   { return md5.Size }
func (rc4HMAC) block() int     { return 1 }
func (rc4HMAC) sumType() int32 { return -138 }

// usageRC4 is a usage as Microsoft numbers it (RFC 4757 §3), little-endian.
func usageRC4(usage uint32) []byte {
	switch usage {
	case 3, 9:
		usage = 8
	case 23:
		usage = 13
	}
	return binary.LittleEndian.AppendUint32(nil, usage)
}

func hmacMD5(key, data []byte) []byte {
	m := hmac.New(md5.New, key)
	m.Write(data)
	return m.Sum(nil)
}

func (rc4HMAC) deriveCipher(key []byte, usage uint32) (*cipherKeys, error) {
	return &cipherKeys{mac: hmacMD5(key, usageRC4(usage))}, nil
}

func (rc4HMAC) deriveSum(key []byte, _ uint32) ([]byte, error) {
	return hmacMD5(key, []byte("signaturekey\x00")), nil
}

// crypt runs RC4 under the key that the MAC chooses. The key is 16 octets always, so
// that rc4.NewCipher cannot fail.
func (rc4HMAC) crypt(key, mac, out, in []byte) {
	if c, err := rc4.NewCipher(hmacMD5(key, mac)); err == nil {
		c.XORKeyStream(out, in)
	}
}

func (s rc4HMAC) seal(k *cipherKeys, plain []byte) []byte {
	mac := hmacMD5(k.mac, plain)
	out := make([]byte, len(mac)+len(plain))
	copy(out, mac)
	s.crypt(k.mac, mac, out[len(mac):], plain)
	return out
}

func (s rc4HMAC) open(k *cipherKeys, in []byte) ([]byte, bool) {
	mac, data := in[:s.macSize()], in[s.macSize():]
	plain := make([]byte, len(data))
	s.crypt(k.mac, mac, plain, data)
	return plain, subtle.ConstantTimeCompare(hmacMD5(k.mac, plain), mac) == 1
}

func (rc4HMAC) sum(key []byte, usage uint32, data []byte) []byte {
	m := md5.New()
	m.Write(usageRC4(usage))
	m.Write(data)
	return hmacMD5(key, m.Sum(nil))
}

func (rc4HMAC) prf(key, data []byte, _ bool) ([]byte, error) {
	return hmacSHA1(key, data, sha1.Size), nil
}

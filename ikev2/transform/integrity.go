package transform

import (
	"crypto/hmac"
	"crypto/sha512"
	"fmt"
	"hash"
)

// Integrity computes the integrity check values of one direction, as AH needs
// them. It is safe for use by one goroutine at a time.
type Integrity struct {
	mac     hash.Hash
	icvSize int
	sum     [sha512.Size]byte // room for the longest untruncated output
}

// NewIntegrity makes an Integrity; the key has INTEG.KeyLen octets, and the caller
// may wipe it afterwards.
func NewIntegrity(integ INTEG, key []byte) (*Integrity, error) {
	switch {
	case integ == AUTH_NONE || !integ.Built():
		return nil, fmt.Errorf("%v makes no integrity check value", integ)
	case len(key) != integ.KeyLen():
		return nil, fmt.Errorf("%v: key of %d octets, want %d", integ, len(key), integ.KeyLen())
	}
	mac, err := integ.newMAC(key)
	if err != nil {
		return nil, err
	}
	return &Integrity{mac: mac, icvSize: integ.ICVLen()}, nil
}

// Size is the length of the value in octets.
func (i *Integrity) Size() int { return i.icvSize }

// Sum is the value over data[0] | data[1] | …; it is valid until the next call.
func (i *Integrity) Sum(data ...[]byte) []byte {
	i.mac.Reset()
	for _, d := range data {
		i.mac.Write(d)
	}
	return i.mac.Sum(i.sum[:0])[:i.icvSize]
}

// Verify says in constant time whether icv is the value over the data.
func (i *Integrity) Verify(icv []byte, data ...[]byte) bool {
	return hmac.Equal(icv, i.Sum(data...))
}

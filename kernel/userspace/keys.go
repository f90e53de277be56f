package userspace

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"racoon2/kernel"
)

// retiredKeys bounds what is remembered of keys whose SAs are gone.
const retiredKeys = 8192

// sequence numbers the packets of one outbound key. It belongs to the key and
// not to the SA: whatever is installed with the same key, at the same time or
// later, goes on where the numbers stand, so that no number, and with it no AEAD
// nonce, is ever used twice under a key.
type sequence struct {
	last  atomic.Uint64
	users int // SAs that have the key; the core's lock guards it
}

// fingerprint recognizes a key without holding it.
type fingerprint [sha256.Size]byte

// keys knows the outbound keys of this process. The core's lock guards it.
type keys struct {
	// The seed is random and stays in the process, so that a fingerprint says
	// nothing to others.
	seed    [16]byte
	known   map[fingerprint]*sequence
	retired []fingerprint // a ring, the oldest at next
	next    int
}

func newKeys() keys {
	k := keys{known: make(map[fingerprint]*sequence)}
	rand.Read(k.seed[:])
	return k
}

// fingerprint is of the encryption key, or of the integrity key where there is
// no encryption.
func (k *keys) fingerprint(s kernel.SA) fingerprint {
	h := sha256.New()
	h.Write(k.seed[:])
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(s.Encr)))
	if len(s.EncrKey) > 0 {
		h.Write(s.EncrKey)
	} else {
		h.Write(s.IntegKey)
	}
	return fingerprint(h.Sum(nil))
}

// use gives the numbers of a key to an SA.
func (k *keys) use(f fingerprint) *sequence {
	q := k.known[f]
	if q == nil {
		q = new(sequence)
		k.known[f] = q
	}
	q.users++
	return q
}

// retire takes them back. Those of a key that protected packets are kept, in
// place of the oldest when there are retiredKeys of them.
func (k *keys) retire(f fingerprint) {
	q := k.known[f]
	if q.users--; q.users > 0 {
		return
	}
	if q.last.Load() == 0 {
		delete(k.known, f)
		return
	}
	if len(k.retired) < retiredKeys {
		k.retired = append(k.retired, f)
		return
	}
	if old := k.retired[k.next]; k.known[old] != nil && k.known[old].users == 0 && old != f {
		delete(k.known, old)
	}
	k.retired[k.next] = f
	k.next = (k.next + 1) % retiredKeys
}

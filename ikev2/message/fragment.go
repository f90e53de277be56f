package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"racoon2/ikev2/transform"
)

// MaxFragments bounds the fragments of one message, sent or reassembled. With
// packets of 576 octets, which every IPv4 host takes, they hold about 60 KiB.
const MaxFragments = 128

// fragmentFields is the size of fragment number and total fragments, in octets.
const fragmentFields = 4

// SealFragments writes the inner payloads into as many messages with an SKF
// payload as are needed for none to be longer than limit octets (RFC 7383 §2.5). iv
// gives each its own IV. Its error says what does not fit.
func SealFragments(h Header, inner []Payload, c transform.Cipher, iv func() ([]byte, error), limit int) ([][]byte, error) {
	first, content, err := EncodePayloads(inner)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	room := min(limit, MaxLen) - sealedLen(fragmentFields, 0, c) + padding(0, c) + 1
	room -= room%c.BlockSize() + 1
	if room <= 0 {
		return nil, fmt.Errorf("messages of %d octets have no room for a fragment", limit)
	}
	total := max(1, (len(content)+room-1)/room)
	if total > MaxFragments {
		return nil, fmt.Errorf("%d octets need %d fragments, more than %d", len(content), total, MaxFragments)
	}
	messages := make([][]byte, 0, total)
	for number := 1; number <= total; number++ {
		var fixed [fragmentFields]byte
		binary.BigEndian.PutUint16(fixed[:], uint16(number))
		binary.BigEndian.PutUint16(fixed[2:], uint16(total))
		v, err := iv()
		if err != nil {
			return nil, err
		}
		n := min(room, len(content))
		b, err := seal(h, PayloadSKF, first, fixed[:], content[:n], c, v, Padding{})
		if err != nil {
			return nil, err
		}
		messages = append(messages, b)
		content, first = content[n:], NoNextPayload
	}
	return messages, nil
}

// OpenFragment verifies and decrypts the SKF payload of m, which Decode read from
// raw, in place, and returns this fragment's part of the message. Errors are those
// of Open; ErrNotEncrypted says that there is no SKF payload.
func OpenFragment(raw []byte, m *Message, c transform.Cipher) (*EncryptedFragment, []byte, error) {
	skf, ok := lastPayload(m).(*EncryptedFragment)
	if !ok {
		return nil, nil, ErrNotEncrypted
	}
	part, err := open(raw, PayloadSKF, skf.Body, c)
	if err != nil {
		return nil, nil, err
	}
	return skf, part, nil
}

// Errors of Reassembly.Add. None of them concerns the fragments that are there.
var (
	// ErrOldFragment says that the fragment belongs to a coarser division than the
	// one at hand: drop it (RFC 7383 §2.6).
	ErrOldFragment = errors.New("the fragment counts fewer fragments than earlier ones")
	// ErrTooLarge says that the peer sends more than a message can be: give up the
	// exchange (RFC 7383 §5).
	ErrTooLarge = errors.New("the fragments exceed what a message can be")
)

// Reassembly collects the fragments of one message: of one message ID in one
// direction. It keeps MaxLen octets at most. The zero value is empty.
type Reassembly struct {
	first PayloadType
	parts [][]byte // by number, from 1 at index 0; nil: not there
	have  int
	size  int
}

// Has says whether the fragment is there already, so that it need not be opened
// (RFC 7383 §2.6).
func (r *Reassembly) Has(f *EncryptedFragment) bool {
	return int(f.Total) == len(r.parts) && f.Number >= 1 && f.Number <= f.Total && r.parts[f.Number-1] != nil
}

// Add takes a fragment that OpenFragment verified and says whether the message is
// complete. A fragment that is there already changes nothing; one with a greater
// total begins anew (RFC 7383 §2.6). part is copied.
func (r *Reassembly) Add(f *EncryptedFragment, part []byte) (complete bool, err error) {
	switch {
	case f.Total > MaxFragments || f.Number == 0 || f.Number > f.Total:
		return false, ErrTooLarge
	case int(f.Total) < len(r.parts):
		return false, ErrOldFragment
	case int(f.Total) > len(r.parts):
		r.Reset()
		r.parts = make([][]byte, f.Total)
	}
	if r.parts[f.Number-1] == nil {
		if r.size+len(part) > MaxLen {
			return false, ErrTooLarge
		}
		r.parts[f.Number-1] = append([]byte{}, part...)
		r.have++
		r.size += len(part)
		if f.Number == 1 {
			r.first = f.First
		}
	}
	return r.have == len(r.parts), nil
}

// Payloads decodes the complete message's inner payloads. A *SyntaxError counts
// its offset from their start.
func (r *Reassembly) Payloads() ([]Payload, error) {
	if r.have == 0 || r.have < len(r.parts) {
		return nil, fmt.Errorf("%d of %d fragments are there", r.have, len(r.parts))
	}
	return DecodePayloads(r.first, bytes.Join(r.parts, nil))
}

// Size is how many octets of the message are there.
func (r *Reassembly) Size() int { return r.size }

// Reset wipes what is there and makes r empty.
func (r *Reassembly) Reset() {
	for _, part := range r.parts {
		clear(part)
	}
	*r = Reassembly{}
}

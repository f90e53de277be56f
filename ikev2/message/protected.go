package message

import (
	"encoding/binary"
	"errors"
	"fmt"

	"racoon2/ikev2/transform"
)

// genericLen is the size of a payload's generic header in octets (RFC 7296 §3.2).
const genericLen = 4

// Seal writes a whole message whose only payload is SK with the inner payloads,
// which may be none. iv has c.IVSize octets and is new for each message: never
// repeated for AEADs (RFC 5282 §3.1), unpredictable for CBC (RFC 7296 §3.14).
//
// The header and the SK payload's own header are authenticated, as additional data
// of an AEAD (RFC 5282 §5.1) and in front of the IV for a separate integrity
// algorithm (RFC 7296 §3.14).
func Seal(h Header, inner []Payload, c transform.Cipher, iv []byte) ([]byte, error) {
	return SealPadded(h, inner, c, iv, Padding{})
}

// Padding is what a message has behind its payloads beyond what its cipher asks
// for. Its value and size are the sender's to choose (RFC 7296 §3.14).
type Padding struct {
	More int                // octets, as far as whole blocks and 255 in all allow
	Fill func([]byte) error // the padding's value; nil: zeros
}

// SealPadded is Seal with more padding.
func SealPadded(h Header, inner []Payload, c transform.Cipher, iv []byte, p Padding) ([]byte, error) {
	first, content, err := EncodePayloads(inner)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	return seal(h, PayloadSK, first, nil, content, c, iv, p)
}

// Open verifies and decrypts the SK payload of m, which Decode read from raw, and
// decodes the payloads inside. It decrypts in place: the payloads alias raw, and
// raw is spent afterwards, also when Open fails.
//
// transform.ErrIntegrity says that the message is not the peer's; such a message
// must be dropped and change nothing (RFC 7296 §2.21.2). A *SyntaxError says that
// it is the peer's but malformed; its offset counts from the start of the decrypted
// octets. ErrNotEncrypted says that there is no SK payload.
func Open(raw []byte, m *Message, c transform.Cipher) ([]Payload, error) {
	sk, ok := lastPayload(m).(*Encrypted)
	if !ok {
		return nil, ErrNotEncrypted
	}
	content, err := open(raw, PayloadSK, sk.Body, c)
	if err != nil {
		return nil, err
	}
	return DecodePayloads(sk.First, content)
}

func lastPayload(m *Message) Payload {
	if len(m.Payloads) == 0 {
		return nil
	}
	return m.Payloads[len(m.Payloads)-1]
}

// sealedLen is the size of a message with one SK or SKF payload, whose fields in
// front of the IV have fixed octets.
func sealedLen(fixed, content int, c transform.Cipher) int {
	return HeaderLen + genericLen + fixed + c.IVSize() + content + padding(content, c) + 1 + c.ICVSize()
}

// maxPadding is the most that the pad length octet can say.
const maxPadding = 255

// size is the padding of a message in octets.
func (p Padding) size(content int, c transform.Cipher) int {
	least := padding(content, c)
	more := min(max(p.More, 0), maxPadding-least)
	return least + more - more%c.BlockSize()
}

// padding is how much the content and the pad length octet lack of whole blocks.
func padding(content int, c transform.Cipher) int {
	return (c.BlockSize() - (content+1)%c.BlockSize()) % c.BlockSize()
}

// seal writes a message with one SK or SKF payload around content.
func seal(h Header, kind, first PayloadType, fixed, content []byte, c transform.Cipher, iv []byte, p Padding) ([]byte, error) {
	pad := p.size(len(content), c)
	total := sealedLen(len(fixed), len(content), c) + pad - padding(len(content), c)
	switch {
	case len(iv) != c.IVSize():
		return nil, fmt.Errorf("%v payload: IV of %d octets, want %d", kind, len(iv), c.IVSize())
	case total > MaxLen:
		return nil, fmt.Errorf("a message of %d octets is longer than %d", total, MaxLen)
	}
	b := appendHeader(make([]byte, 0, total), h)
	b[16] = byte(kind)
	binary.BigEndian.PutUint32(b[24:], uint32(total))
	b = append(b, byte(first), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(total-HeaderLen))
	b = append(b, fixed...)

	// The plaintext is laid where its ciphertext goes.
	at := len(b) + len(iv)
	plaintext := b[at : at+len(content)+pad+1]
	copy(plaintext, content)
	if p.Fill != nil {
		if err := p.Fill(plaintext[len(content) : len(content)+pad]); err != nil {
			return nil, err
		}
	}
	plaintext[len(plaintext)-1] = byte(pad)
	return c.Seal(b, iv, plaintext, b, nil), nil
}

// open verifies and decrypts the body of the encrypted payload that ends raw, and
// takes the padding off.
func open(raw []byte, kind PayloadType, body []byte, c transform.Cipher) ([]byte, error) {
	if len(body) > len(raw) {
		return nil, ErrNotEncrypted
	}
	plaintext, err := c.Open(body, raw[:len(raw)-len(body)], nil)
	switch {
	case errors.Is(err, transform.ErrBlocks):
		return nil, &SyntaxError{Payload: kind, What: err.Error()}
	case err != nil:
		return nil, err
	case len(plaintext) == 0:
		return nil, &SyntaxError{Payload: kind, What: "the pad length is missing"}
	}
	end := len(plaintext) - 1
	pad := int(plaintext[end])
	if pad > end {
		return nil, &SyntaxError{Payload: kind, Offset: end,
			What: fmt.Sprintf("%d octets of padding, but there are %d", pad, end)}
	}
	return plaintext[:end-pad], nil
}

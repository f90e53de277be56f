package dns

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// asked is a question as it went to an upstream.
type asked struct {
	msg      []byte
	question resolver.Question
	section  []byte // its question section: an answer's has to be the same
}

// paddingBlock is RFC 8467 §4.1's, for questions over TLS.
const paddingBlock = 128

// newAsked packs a question with a random ID and letters of random case. EDNS(0)
// asks for answers without fragments; AD asks for AD (RFC 6840 §5.7).
func newAsked(rand io.Reader, q resolver.Question, pad bool) (*asked, error) {
	var id [2]byte
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return nil, fmt.Errorf("no random ID: %w", err)
	}
	m := mdns.Msg{MsgHdr: mdns.MsgHdr{
		Id: binary.BigEndian.Uint16(id[:]), RecursionDesired: true,
		AuthenticatedData: true, CheckingDisabled: q.CheckingDisabled,
	}}
	m.Question = []mdns.Question{{Name: q.Name, Qtype: q.Type, Qclass: mdns.ClassINET}}
	m.SetEdns0(maxUDP, q.DNSSECOK)
	if pad {
		const option = 4 // code and length
		opt := m.IsEdns0()
		room := (paddingBlock - (m.Len()+option)%paddingBlock) % paddingBlock
		opt.Option = append(opt.Option, &mdns.EDNS0_PADDING{Padding: make([]byte, room)})
	}
	msg, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("the question cannot be packed: %w", err)
	}
	end, ok := plainName(msg, headerSize)
	if !ok || len(msg) < end+questionEnd {
		return nil, fmt.Errorf("the question %q cannot be packed", q.Name)
	}
	a := &asked{msg: msg, question: q, section: msg[headerSize : end+questionEnd]}
	return a, a.mixCase(rand)
}

// mixCase gives letters a random case (RFC 5452 §9.2 leaves room for it).
func (a *asked) mixCase(rand io.Reader) error {
	var bits [32]byte // a name has at most 255 octets
	if _, err := io.ReadFull(rand, bits[:]); err != nil {
		return fmt.Errorf("no random case: %w", err)
	}
	name := a.section[:len(a.section)-questionEnd]
	for off := 0; off < len(name) && name[off] != 0; {
		label := name[off+1 : off+1+int(name[off])]
		for i, c := range label {
			at := off + i
			if 'a' <= c && c <= 'z' && bits[at/8]>>(at%8)&1 != 0 {
				label[i] = c - 'a' + 'A'
			}
		}
		off += 1 + len(label)
	}
	return nil
}

// setID gives the question another ID, one that no other question on the same
// connection has.
func (a *asked) setID(id uint16) { binary.BigEndian.PutUint16(a.msg, id) }

// match is how an answer fits a question.
type match uint8

const (
	foreign    match = iota // it is not for this question
	otherCase               // ID and question are right, the letters are not
	fitting                 // it is the answer
	fittingCut              // it is, with TC: the whole one comes over TCP
)

// match checks an answer (RFC 5452 §9.1): that it is one, its ID and its
// question, letter by letter. The socket has checked addresses and ports.
func (a *asked) match(msg []byte) match {
	end := headerSize + len(a.section)
	if len(msg) < end || !bytes.Equal(msg[:2], a.msg[:2]) {
		return foreign
	}
	bits := binary.BigEndian.Uint16(msg[2:])
	if bits&bitQR == 0 || bits&opcodeMask != 0 || binary.BigEndian.Uint16(msg[4:]) != 1 {
		return foreign
	}
	section := msg[headerSize:end]
	switch {
	case !bytes.Equal(section[len(section)-questionEnd:], a.section[len(section)-questionEnd:]):
		return foreign
	case bytes.Equal(section, a.section):
		if bits&bitTC != 0 {
			return fittingCut
		}
		return fitting
	case equalFold(section, a.section):
		return otherCase
	}
	return foreign
}

// equalFold compares names of the same length without regard to the case of
// ASCII letters (RFC 4343 §3). Lengths of labels are never letters.
func equalFold(a, b []byte) bool {
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

package message

import (
	"fmt"
	"strings"

	"racoon2/ikev2/transform"
)

// String is the transform's name with its key length: "ENCR_AES_GCM_16-128". One
// with an attribute that is not known ends in "?".
func (t Transform) String() string {
	name := t.name()
	if t.KeyBits != 0 {
		name = fmt.Sprintf("%s-%d", name, t.KeyBits)
	}
	if t.Unknown {
		name += "?"
	}
	return name
}

func (t Transform) name() string {
	switch t.Type {
	case transform.TypeENCR:
		return transform.ENCR(t.ID).String()
	case transform.TypePRF:
		return transform.PRF(t.ID).String()
	case transform.TypeINTEG:
		return transform.INTEG(t.ID).String()
	case transform.TypeKE:
		return transform.KE(t.ID).String()
	case transform.TypeSN:
		return transform.SN(t.ID).String()
	}
	return fmt.Sprintf("%v:%d", t.Type, t.ID)
}

// String is the proposal for an explanation: "#1 ESP ENCR_AES_GCM_16-128 SN_32BIT".
// The SPI is left out.
func (p Proposal) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d %v", p.Number, p.Protocol)
	for _, t := range p.Transforms {
		b.WriteByte(' ')
		b.WriteString(t.String())
	}
	return b.String()
}

// String is the range of addresses, then the protocol and the ports where they are
// not any: "10.0.0.0-10.0.0.255 protocol 6 ports 80-80".
func (s TrafficSelector) String() string {
	if s.UnknownType != 0 {
		return fmt.Sprintf("TS type %d", s.UnknownType)
	}
	text := fmt.Sprintf("%v-%v", s.Start, s.End)
	if s.Protocol != 0 {
		text += fmt.Sprintf(" protocol %d", s.Protocol)
	}
	switch {
	case s.StartPort == 65535 && s.EndPort == 0:
		text += " ports OPAQUE"
	case s.StartPort != 0 || s.EndPort != 65535:
		text += fmt.Sprintf(" ports %d-%d", s.StartPort, s.EndPort)
	}
	return text
}

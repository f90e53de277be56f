package ikev2

import (
	"fmt"
	"strconv"
	"strings"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// typeName is the registry's name of a transform type.
func typeName(kind transform.Type) string {
	switch kind {
	case 0:
		return "protocol"
	case transform.TypeENCR:
		return "ENCR"
	case transform.TypePRF:
		return "PRF"
	case transform.TypeINTEG:
		return "INTEG"
	case transform.TypeKE:
		return "KE"
	case transform.TypeSN:
		return "SN"
	}
	return "transform type " + strconv.Itoa(int(kind))
}

// transformName is the registry's name of a transform, with its key length:
// "ENCR_AES_GCM_16-128".
func transformName(t message.Transform) string {
	name := strconv.Itoa(int(t.ID))
	switch t.Type {
	case transform.TypeENCR:
		name = transform.ENCR(t.ID).String()
	case transform.TypePRF:
		name = transform.PRF(t.ID).String()
	case transform.TypeINTEG:
		name = transform.INTEG(t.ID).String()
	case transform.TypeKE:
		name = transform.KE(t.ID).String()
	case transform.TypeSN:
		name = transform.SN(t.ID).String()
	}
	if t.KeyBits != 0 {
		name += "-" + strconv.Itoa(int(t.KeyBits))
	}
	if t.Unknown {
		name += " with an unknown attribute"
	}
	return name
}

func transformList(list []message.Transform) string {
	if len(list) == 0 {
		return "nothing"
	}
	names := make([]string, 0, len(list))
	for i, t := range list {
		if i == maxListed {
			names = append(names, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		names = append(names, transformName(t))
	}
	return strings.Join(names, ", ")
}

// proposalList describes an SA payload for an explanation.
func proposalList(list []message.Proposal) string {
	var b strings.Builder
	for i, p := range list {
		if i == maxListed {
			fmt.Fprintf(&b, "; and %d more", len(list)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "#%d %s", p.Number, transformList(p.Transforms))
	}
	return b.String()
}

package isakmp

import "strconv"

// String is the type as RFC 2408 §3.1 abbreviates it.
func (p PayloadType) String() string {
	switch p {
	case PayloadNone:
		return "NONE"
	case PayloadSA:
		return "SA"
	case PayloadProposal:
		return "P"
	case PayloadTransform:
		return "T"
	case PayloadKE:
		return "KE"
	case PayloadID:
		return "ID"
	case PayloadNonce:
		return "NONCE"
	case PayloadNotify:
		return "N"
	case PayloadDelete:
		return "D"
	}
	return number("PayloadType", uint64(p))
}

// String is the protocol as RFC 2407 §4.4.1 spells it.
func (p Protocol) String() string {
	switch p {
	case PROTO_ISAKMP:
		return "PROTO_ISAKMP"
	case PROTO_IPSEC_AH:
		return "PROTO_IPSEC_AH"
	case PROTO_IPSEC_ESP:
		return "PROTO_IPSEC_ESP"
	case PROTO_IPCOMP:
		return "PROTO_IPCOMP"
	}
	return number("Protocol", uint64(p))
}

// String is the type as RFC 2407 §4.6.2.1 spells it.
func (t IDType) String() string {
	switch t {
	case ID_IPV4_ADDR:
		return "ID_IPV4_ADDR"
	case ID_IPV4_ADDR_SUBNET:
		return "ID_IPV4_ADDR_SUBNET"
	case ID_IPV6_ADDR:
		return "ID_IPV6_ADDR"
	case ID_IPV6_ADDR_SUBNET:
		return "ID_IPV6_ADDR_SUBNET"
	case ID_IPV4_ADDR_RANGE:
		return "ID_IPV4_ADDR_RANGE"
	case ID_IPV6_ADDR_RANGE:
		return "ID_IPV6_ADDR_RANGE"
	}
	return number("IDType", uint64(t))
}

// String is the type as RFC 2408 §3.14.1 spells it.
func (t NotifyType) String() string {
	switch t {
	case INVALID_PAYLOAD_TYPE:
		return "INVALID-PAYLOAD-TYPE"
	case INVALID_SPI:
		return "INVALID-SPI"
	case NO_PROPOSAL_CHOSEN:
		return "NO-PROPOSAL-CHOSEN"
	case PAYLOAD_MALFORMED:
		return "PAYLOAD-MALFORMED"
	case CONNECTED:
		return "CONNECTED"
	case RESPONDER_LIFETIME:
		return "RESPONDER-LIFETIME"
	case REPLAY_STATUS:
		return "REPLAY-STATUS"
	case INITIAL_CONTACT:
		return "INITIAL-CONTACT"
	}
	return number("NotifyType", uint64(t))
}

// String is the class as RFC 2407 §4.5 has it, in capitals.
func (t AttributeType) String() string {
	switch t {
	case SA_LIFE_TYPE:
		return "SA_LIFE_TYPE"
	case SA_LIFE_DURATION:
		return "SA_LIFE_DURATION"
	case GROUP_DESCRIPTION:
		return "GROUP_DESCRIPTION"
	case ENCAPSULATION_MODE:
		return "ENCAPSULATION_MODE"
	case AUTHENTICATION_ALGORITHM:
		return "AUTHENTICATION_ALGORITHM"
	case KEY_LENGTH:
		return "KEY_LENGTH"
	case KEY_ROUNDS:
		return "KEY_ROUNDS"
	}
	return number("AttributeType", uint64(t))
}

func number(kind string, n uint64) string { return kind + "(" + strconv.FormatUint(n, 10) + ")" }

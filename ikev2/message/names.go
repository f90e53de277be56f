package message

import "fmt"

// String is the registry's notation, but the words Nonce, Notify, Delete and
// VendorID where that is one letter; "PAYLOAD(99)" for an unknown number.
func (t PayloadType) String() string {
	switch t {
	case NoNextPayload:
		return "none"
	case PayloadSA:
		return "SA"
	case PayloadKE:
		return "KE"
	case PayloadIDi:
		return "IDi"
	case PayloadIDr:
		return "IDr"
	case PayloadCERT:
		return "CERT"
	case PayloadCERTREQ:
		return "CERTREQ"
	case PayloadAUTH:
		return "AUTH"
	case PayloadNonce:
		return "Nonce"
	case PayloadNotify:
		return "Notify"
	case PayloadDelete:
		return "Delete"
	case PayloadVendor:
		return "VendorID"
	case PayloadTSi:
		return "TSi"
	case PayloadTSr:
		return "TSr"
	case PayloadSK:
		return "SK"
	case PayloadCP:
		return "CP"
	case PayloadEAP:
		return "EAP"
	case 49:
		return "GSPM"
	case 50:
		return "IDg"
	case 51:
		return "GSA"
	case 52:
		return "KD"
	case PayloadSKF:
		return "SKF"
	case 54:
		return "PS"
	}
	return fmt.Sprintf("PAYLOAD(%d)", uint8(t))
}

// String is the name as the registry spells it; "EXCHANGE(99)" for an unknown number.
func (e ExchangeType) String() string {
	switch e {
	case IKE_SA_INIT:
		return "IKE_SA_INIT"
	case IKE_AUTH:
		return "IKE_AUTH"
	case CREATE_CHILD_SA:
		return "CREATE_CHILD_SA"
	case INFORMATIONAL:
		return "INFORMATIONAL"
	case 38:
		return "IKE_SESSION_RESUME"
	case 39:
		return "GSA_AUTH"
	case 40:
		return "GSA_REGISTRATION"
	case 41:
		return "GSA_REKEY"
	case 43:
		return "IKE_INTERMEDIATE"
	case 44:
		return "IKE_FOLLOWUP_KE"
	}
	return fmt.Sprintf("EXCHANGE(%d)", uint8(e))
}

// String is the name as the registry spells it, "none" for 0, and "PROTOCOL(99)"
// for an unknown number.
func (p Protocol) String() string {
	switch p {
	case ProtocolNone:
		return "none"
	case ProtocolIKE:
		return "IKE"
	case ProtocolAH:
		return "AH"
	case ProtocolESP:
		return "ESP"
	case 4:
		return "FC_ESP_HEADER"
	case 5:
		return "FC_CT_AUTHENTICATION"
	}
	return fmt.Sprintf("PROTOCOL(%d)", uint8(p))
}

// String is the name as the registry spells it; "ID(99)" for an unknown number.
func (t IDType) String() string {
	switch t {
	case ID_IPV4_ADDR:
		return "ID_IPV4_ADDR"
	case ID_FQDN:
		return "ID_FQDN"
	case ID_RFC822_ADDR:
		return "ID_RFC822_ADDR"
	case ID_IPV6_ADDR:
		return "ID_IPV6_ADDR"
	case ID_DER_ASN1_DN:
		return "ID_DER_ASN1_DN"
	case ID_DER_ASN1_GN:
		return "ID_DER_ASN1_GN"
	case ID_KEY_ID:
		return "ID_KEY_ID"
	case 12:
		return "ID_FC_NAME"
	case ID_NULL:
		return "ID_NULL"
	}
	return fmt.Sprintf("ID(%d)", uint8(t))
}

// String is the name as the registry spells it; "AUTH(99)" for an unknown number.
func (m AuthMethod) String() string {
	switch m {
	case AuthRSA:
		return "RSA Digital Signature"
	case AuthSharedKey:
		return "Shared Key Message Integrity Code"
	case AuthDSS:
		return "DSS Digital Signature"
	case 9:
		return "ECDSA with SHA-256 on the P-256 curve"
	case 10:
		return "ECDSA with SHA-384 on the P-384 curve"
	case 11:
		return "ECDSA with SHA-512 on the P-521 curve"
	case 12:
		return "Generic Secure Password Authentication Method"
	case AuthNull:
		return "NULL Authentication"
	case AuthDigitalSignature:
		return "Digital Signature"
	}
	return fmt.Sprintf("AUTH(%d)", uint8(m))
}

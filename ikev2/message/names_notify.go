package message

import "fmt"

// String is the name as the registry spells it; "NOTIFY(99)" for an unknown number.
// Types without a constant here have names too, because peers send them.
func (n NotifyType) String() string {
	if n.IsError() {
		return n.errorName()
	}
	return n.statusName()
}

// IsError says whether the type tells of a failure (RFC 7296 §3.10.1).
func (n NotifyType) IsError() bool { return n < INITIAL_CONTACT }

func (n NotifyType) errorName() string {
	switch n {
	case UNSUPPORTED_CRITICAL_PAYLOAD:
		return "UNSUPPORTED_CRITICAL_PAYLOAD"
	case INVALID_IKE_SPI:
		return "INVALID_IKE_SPI"
	case INVALID_MAJOR_VERSION:
		return "INVALID_MAJOR_VERSION"
	case INVALID_SYNTAX:
		return "INVALID_SYNTAX"
	case INVALID_MESSAGE_ID:
		return "INVALID_MESSAGE_ID"
	case INVALID_SPI:
		return "INVALID_SPI"
	case NO_PROPOSAL_CHOSEN:
		return "NO_PROPOSAL_CHOSEN"
	case INVALID_KE_PAYLOAD:
		return "INVALID_KE_PAYLOAD"
	case AUTHENTICATION_FAILED:
		return "AUTHENTICATION_FAILED"
	case SINGLE_PAIR_REQUIRED:
		return "SINGLE_PAIR_REQUIRED"
	case NO_ADDITIONAL_SAS:
		return "NO_ADDITIONAL_SAS"
	case INTERNAL_ADDRESS_FAILURE:
		return "INTERNAL_ADDRESS_FAILURE"
	case FAILED_CP_REQUIRED:
		return "FAILED_CP_REQUIRED"
	case TS_UNACCEPTABLE:
		return "TS_UNACCEPTABLE"
	case INVALID_SELECTORS:
		return "INVALID_SELECTORS"
	case UNACCEPTABLE_ADDRESSES:
		return "UNACCEPTABLE_ADDRESSES"
	case UNEXPECTED_NAT_DETECTED:
		return "UNEXPECTED_NAT_DETECTED"
	case 42:
		return "USE_ASSIGNED_HoA"
	case TEMPORARY_FAILURE:
		return "TEMPORARY_FAILURE"
	case CHILD_SA_NOT_FOUND:
		return "CHILD_SA_NOT_FOUND"
	case 45:
		return "INVALID_GROUP_ID"
	case 46:
		return "AUTHORIZATION_FAILED"
	case 47:
		return "STATE_NOT_FOUND"
	}
	return fmt.Sprintf("NOTIFY(%d)", uint16(n))
}

func (n NotifyType) statusName() string {
	switch n {
	case INITIAL_CONTACT:
		return "INITIAL_CONTACT"
	case SET_WINDOW_SIZE:
		return "SET_WINDOW_SIZE"
	case ADDITIONAL_TS_POSSIBLE:
		return "ADDITIONAL_TS_POSSIBLE"
	case IPCOMP_SUPPORTED:
		return "IPCOMP_SUPPORTED"
	case NAT_DETECTION_SOURCE_IP:
		return "NAT_DETECTION_SOURCE_IP"
	case NAT_DETECTION_DESTINATION_IP:
		return "NAT_DETECTION_DESTINATION_IP"
	case COOKIE:
		return "COOKIE"
	case USE_TRANSPORT_MODE:
		return "USE_TRANSPORT_MODE"
	case HTTP_CERT_LOOKUP_SUPPORTED:
		return "HTTP_CERT_LOOKUP_SUPPORTED"
	case REKEY_SA:
		return "REKEY_SA"
	case ESP_TFC_PADDING_NOT_SUPPORTED:
		return "ESP_TFC_PADDING_NOT_SUPPORTED"
	case NON_FIRST_FRAGMENTS_ALSO:
		return "NON_FIRST_FRAGMENTS_ALSO"
	case MOBIKE_SUPPORTED:
		return "MOBIKE_SUPPORTED"
	case ADDITIONAL_IP4_ADDRESS:
		return "ADDITIONAL_IP4_ADDRESS"
	case ADDITIONAL_IP6_ADDRESS:
		return "ADDITIONAL_IP6_ADDRESS"
	case NO_ADDITIONAL_ADDRESSES:
		return "NO_ADDITIONAL_ADDRESSES"
	case UPDATE_SA_ADDRESSES:
		return "UPDATE_SA_ADDRESSES"
	case COOKIE2:
		return "COOKIE2"
	case NO_NATS_ALLOWED:
		return "NO_NATS_ALLOWED"
	case AUTH_LIFETIME:
		return "AUTH_LIFETIME"
	case 16404:
		return "MULTIPLE_AUTH_SUPPORTED"
	case 16405:
		return "ANOTHER_AUTH_FOLLOWS"
	case 16406:
		return "REDIRECT_SUPPORTED"
	case 16407:
		return "REDIRECT"
	case 16408:
		return "REDIRECTED_FROM"
	case 16409:
		return "TICKET_LT_OPAQUE"
	case 16410:
		return "TICKET_REQUEST"
	case 16411:
		return "TICKET_ACK"
	case 16412:
		return "TICKET_NACK"
	case 16413:
		return "TICKET_OPAQUE"
	case 16414:
		return "LINK_ID"
	case 16415:
		return "USE_WESP_MODE"
	case 16416:
		return "ROHC_SUPPORTED"
	case 16417:
		return "EAP_ONLY_AUTHENTICATION"
	case CHILDLESS_IKEV2_SUPPORTED:
		return "CHILDLESS_IKEV2_SUPPORTED"
	case 16419:
		return "QUICK_CRASH_DETECTION"
	case 16420:
		return "IKEV2_MESSAGE_ID_SYNC_SUPPORTED"
	case 16421:
		return "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED"
	case 16422:
		return "IKEV2_MESSAGE_ID_SYNC"
	case 16423:
		return "IPSEC_REPLAY_COUNTER_SYNC"
	case 16424:
		return "SECURE_PASSWORD_METHODS"
	case 16425:
		return "PSK_PERSIST"
	case 16426:
		return "PSK_CONFIRM"
	case 16427:
		return "ERX_SUPPORTED"
	case 16428:
		return "IFOM_CAPABILITY"
	case 16429:
		return "SENDER_REQUEST_ID"
	case IKEV2_FRAGMENTATION_SUPPORTED:
		return "IKEV2_FRAGMENTATION_SUPPORTED"
	case 16431:
		return "SIGNATURE_HASH_ALGORITHMS"
	case 16432:
		return "CLONE_IKE_SA_SUPPORTED"
	case 16433:
		return "CLONE_IKE_SA"
	case 16434:
		return "PUZZLE"
	case USE_PPK:
		return "USE_PPK"
	case PPK_IDENTITY:
		return "PPK_IDENTITY"
	case NO_PPK_AUTH:
		return "NO_PPK_AUTH"
	case 16438:
		return "INTERMEDIATE_EXCHANGE_SUPPORTED"
	case 16439:
		return "IP4_ALLOWED"
	case 16440:
		return "IP6_ALLOWED"
	case 16441:
		return "ADDITIONAL_KEY_EXCHANGE"
	case 16442:
		return "USE_AGGFRAG"
	}
	return fmt.Sprintf("NOTIFY(%d)", uint16(n))
}

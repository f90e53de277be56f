package ikev2

// mobility is what an IKE SA knows of MOBIKE (RFC 4555).
type mobility struct {
	agreed bool // both ends have sent MOBIKE_SUPPORTED
}

package ikev2

import (
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// IKEKeys are the keys that protect the messages of an IKE SA, for the key log.
type IKEKeys struct {
	SPIi, SPIr uint64
	Encr       Encryption
	EI, ER     []byte // SK_ei and SK_er, with the salt where the cipher has one
	Integ      transform.INTEG
	AI, AR     []byte // SK_ai and SK_ar; empty with AEADs
}

// logKeys reveals the keys of an IKE SA, where that is asked for.
func (e *Engine) logKeys(s suite, x *expanded, spii, spir uint64) {
	if !e.cfg.KeyLog {
		return
	}
	e.do(KeyLog{IKE: &IKEKeys{
		SPIi: spii, SPIr: spir, Encr: s.encr, EI: concat(x.ei), ER: concat(x.er), Integ: s.integ, AI: concat(x.ai), AR: concat(x.ar),
	}})
}

// logSA reveals the keys of an SA that the kernel is asked for.
func (e *Engine) logSA(op kernel.Op) {
	add, ok := op.(kernel.AddSA)
	if !ok || !e.cfg.KeyLog || add.SA.Proto == kernel.IPComp {
		return
	}
	sa := add.SA
	sa.EncrKey, sa.IntegKey = concat(sa.EncrKey), concat(sa.IntegKey)
	e.do(KeyLog{SA: &sa})
}

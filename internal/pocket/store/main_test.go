package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"dicelab/internal/pocket/pockettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, pockettest.EngineGoroutines()...) }

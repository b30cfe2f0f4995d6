package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"dicelab/internal/embedded/embeddedtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...) }

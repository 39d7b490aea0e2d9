"""From a composed configuration to work: jobs, jobs that go together, searches, repetitions."""

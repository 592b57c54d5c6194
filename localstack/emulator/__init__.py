"""The emulator's parts: moto in one process, with delays, corrections, faults, a call log and a health service."""

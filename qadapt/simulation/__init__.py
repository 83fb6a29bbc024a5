"""Predicts recall from quantizer models in numpy; no database is used."""

DROP TABLE discrepancies, reconciliations;
